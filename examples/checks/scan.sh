# shellcheck shell=sh disable=SC2154
# What scan prints is what cksum(1) prints.

# expect PATH...: the checksums of all regular files there, into "expected".
expect() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum >expected; }

many_files() {
  mkdir -p tree/a/deep/er tree/b tree/empty
  i=0
  while [ $i -lt 60 ]; do
    head -c $((i * i * 9)) source >"tree/a/$i"
    i=$((i + 1))
  done
  for size in 1 511 4095 4096 4097 65536 262143 262144 262145 3000001; do head -c $size source >tree/a/deep/$size; done
  cp source tree/large
  cat source source >"tree/b/larger, with spaces"
  : >tree/a/deep/er/empty
  printf 'x' >tree/a-b # sorts before a/...
}

case $1 in
tree)
  many_files
  ln -s ../source tree/link # not followed, as by find
  mkfifo tree/fifo
  expect tree
  for threads in 1 2 32; do
    succeeds "$program" -j $threads tree >got
    is_same expected got
  done
  expect tree/a tree/large
  succeeds "$program" tree/large tree/a >got
  is_same expected got
  ;;
nothing)
  mkdir tree
  succeeds "$program" tree >got
  [ ! -s got ] || fail "the empty folder has files"
  : >tree/empty
  cksum tree/empty >expected
  succeeds "$program" tree >got
  is_same expected got
  ;;
not_on_disk) # its size is 0, and it has contents; and a pipe has no size at all
  cksum /proc/version >expected
  succeeds "$program" /proc/version >got
  is_same expected got
  cksum <source | sed 's|$| /dev/stdin|' >expected
  # shellcheck disable=SC2002
  cat source | succeeds "$program" /dev/stdin >got || exit 1
  is_same expected got
  ;;
missing)
  many_files
  expect tree
  reports 2 "missing: No such file" "$program" missing tree also_missing >got
  is_same expected got
  ;;
unreadable)
  many_files
  mkdir tree/closed
  cp block tree/closed/block
  expect tree/a tree/b tree/large tree/a-b
  grep -v ' tree/a/17$' expected >left
  if [ "$(id -u)" -eq 0 ]; then # which may read everything
    command -v setpriv >/dev/null || skip "there is no setpriv"
    cp "$program" scan
    program="setpriv --reuid 65534 --regid 65534 --clear-groups ./scan"
    chmod 755 . && chmod -R a+rX .
  fi
  chmod 000 tree/a/17 tree/closed
  # shellcheck disable=SC2086
  reports 2 "tree/a/17: Permission denied" $program tree >got
  grep -q "tree/closed: Permission denied" errors || fail "the folder is not reported: $(cat errors)"
  chmod 755 tree/closed
  is_same left got
  # A file whose reads fail, whoever reads.
  # shellcheck disable=SC2086
  [ ! -e /proc/self/mem ] || reports 1 "/proc/self/mem" $program /proc/self/mem block >got
  ;;
full)
  [ -c /dev/full ] || skip "there is no /dev/full"
  reports 1 "stdout" "$program" block >/dev/full
  # Only the first of several writes to stdout fails.
  if strace -o /dev/null true 2>/dev/null; then
    mkdir tree
    (cd tree && seq 1 3000 | xargs touch)
    ASAN_OPTIONS=detect_leaks=0 reports 1 "stdout" \
      strace -f -qq -o /dev/null -P "$(realpath .)/got" -e trace=write -e inject=write:error=ENOSPC:when=1 \
      "$program" tree >got
  fi
  "$program" -j 3x block >got 2>/dev/null
  [ $? -eq 2 ] || fail "takes 3x threads"
  ;;
*) fail "there is no case $1" ;;
esac
