# shellcheck shell=sh disable=SC2154
# What direct_copy has copied is what cmp(1) compares as equal.

copies() {
  succeeds "$program" "$@" >output
  shift $(($# - 2))
  is_same "$1" "$2"
  grep -q "^copied $(stat -Lc %s "$2") bytes in .* MiB/s$" output || fail "says $(cat output)"
}

case $1 in
sizes)
  for size in 0 1 511 4095 4096 4097 1048575 1048576 1048577 5000003; do
    head -c $size source >part
    copies part copy # over one that is shorter
  done
  copies -b 4096 source other
  copies -b 69632 source other
  ;;
sparse) # holes, and an end that is one
  truncate -s 9M source
  head -c 5000 block | dd of=source conv=notrunc bs=1M seek=7 2>/dev/null
  truncate -s 9999999 source
  copies source copy
  ;;
over_others)
  cat source source >longer
  copies source longer
  printf x >x
  copies x longer
  ln -s longer link
  copies block link
  is_same block longer
  ;;
itself)
  cp source kept
  ln source hard
  ln -s source soft
  for other in source hard soft ./source; do
    reports 1 "is its own source" "$program" source $other
    is_same kept source
  done
  ;;
buffered)
  succeeds "$program" /proc/version copy >output
  is_same /proc/version copy
  grep -q "/proc/version: O_DIRECT is refused" output || fail "does not say that it is buffered: $(cat output)"
  ;;
failures)
  mkfifo fifo && mkdir small
  reports 1 "No such file" "$program" missing copy
  [ ! -e copy ] || fail "there is a copy of nothing"
  reports 1 "fifo: not a regular file" "$program" fifo copy
  reports 1 "fifo: not a regular file" "$program" source fifo
  reports 1 "small: not a regular file" "$program" source small
  reports 1 "missing/copy: No such file" "$program" source missing/copy
  [ ! -e /proc/self/mem ] || reports 1 "/proc/self/mem: Input/output error" "$program" /proc/self/mem copy
  reports 1 "or is stdout" "$program" source /dev/stdout >output
  "$program" source 2>/dev/null
  [ $? -eq 2 ] || fail "does not tell its usage"
  cp block kept
  for number in 0 5 64k -1 99999999999999 99999999999999999999999 ''; do
    "$program" -b "$number" source kept 2>/dev/null
    [ $? -eq 2 ] || fail "takes buffers of \"$number\" bytes"
    is_same block kept
  done
  ;;
full)
  need_mounts
  for block in 4096 262144 1048576; do
    reports 1 "copy: No space left on device" in_small_folder 3m "$program" -b $block source small/copy
  done
  ;;
*) fail "there is no case $1" ;;
esac
