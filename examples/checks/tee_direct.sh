# shellcheck shell=sh disable=SC2154
# Each destination that tee_direct does not report is a copy of its input.

case $1 in
sizes)
  for size in 0 1 511 4095 4096 4097 1048575 1048576 1048577 5000003; do
    head -c $size source >part
    succeeds "$program" one two three <part
    for copy in one two three; do is_same part $copy; done
  done
  ;;
pipe) # of small and of large pieces
  # shellcheck disable=SC2002
  cat source | succeeds "$program" one two || exit 1
  is_same source one
  is_same source two
  { printf x && cat block && printf yz && cat source; } >expected
  { printf x && cat block && printf yz && cat source; } | succeeds "$program" one || exit 1
  is_same expected one
  { succeeds "$program" /dev/stdout one <source && : >ended; } | cat >piped
  [ -e ended ] || exit 1
  is_same source piped
  is_same source one
  printf x | succeeds "$program" one || exit 1 # over one that is longer
  [ "$(cat one)" = x ] || fail "the old contents are still there"
  ;;
failures)
  mkdir folder
  reports 2 "missing/copy: No such file" "$program" one missing/copy folder two <source
  is_same source one
  is_same source two
  reports 1 "missing/copy: No such file" "$program" missing/copy <source
  reports 1 "Is a directory" "$program" one <folder
  [ ! -s one ] || fail "there is something that was not read"
  "$program" <source 2>/dev/null
  [ $? -eq 2 ] || fail "does not tell its usage"
  "$program" --help <source 2>/dev/null
  [ $? -eq 2 ] || fail "takes an option for a file"
  cp source same
  reports 1 "same: is its own source" "$program" one same two <./same
  for copy in same one two; do is_same source $copy; done
  reports 1 "stdin" "$program" one <&-
  is_same source one
  if [ -c /dev/full ] && [ -d /dev/shm ]; then # there nothing is refused because it is not aligned
    "$program" /dev/full /dev/shm/asioq-one.$$ <source >&- 2>&-
    [ $? -eq 1 ] || fail "does not fail without stderr"
    mv /dev/shm/asioq-one.$$ one
    is_same source one
  fi
  ;;
full)
  if [ -c /dev/full ]; then
    reports 1 "/dev/full: No space left on device" "$program" one /dev/full two <source
    is_same source one
    is_same source two
    : >empty
    succeeds "$program" one /dev/full <empty
  fi
  need_mounts
  reports 1 "small/copy: No space left on device" in_small_folder 2m "$program" one small/copy two <source
  is_same source one
  is_same source two
  reports 1 "small/copy: No space left on device" in_small_folder 2m "$program" small/copy <source
  ;;
*) fail "there is no case $1" ;;
esac
