# shellcheck shell=sh disable=SC2154
# What external_sort writes is what sort(1) writes.

# sorts INPUT OPTION...: into "sorted".
sorts() {
  input=$1
  shift
  LC_ALL=C sort "$input" >expected
  succeeds "$program" "$@" "$input" sorted
  is_same expected sorted
}

# text LINES: that many lines of different lengths, in no order.
text() {
  awk -v n="$1" 'BEGIN { while (n-- > 0) print (n * 7919) % 1000003 substr("abcdefghijklmnopqrstuvwxyz", n % 27) }'
}

case $1 in
odd)
  : >input
  sorts input
  for content in '\n' 'x' 'x\n' '\n\n' 'b\na' 'b\na\n' 'a\t\na\na\001\na\000\na\000b\n\000\n\377\nb' 'a\r\na\n' \
    'same8888b\nsame8888\nsame8888a\nsame888\n' 'x\nx\nx\n'; do
    # shellcheck disable=SC2059
    printf "$content" >input
    sorts input
  done
  sorts source # lines of random bytes
  truncate -s 3000001 input # NULs without a newline
  sorts input -m 1
  printf 'x\n' >>input
  sorts input -m 1
  ;;
runs) # in memory, in runs, and in runs of runs
  text 150000 >input
  sorts input
  sorts input -m 4
  sorts input -m 1
  cat source source source >input
  sorts input -m 1
  yes | head -n 2200000 >input # in more runs than files may be open
  ulimit -n 170
  sorts input -m 1
  ;;
long_lines) # longer than blocks, and than all the memory
  for size in 16383 16384 16385 300000 2500000 4096 1 0 16384; do
    tr -d '\n' <source | head -c $size
    printf '\n%s\n' $size
  done >input
  sorts input -m 1
  sorts input
  ;;
itself)
  text 100000 >input
  LC_ALL=C sort input >expected
  for memory in 1 64; do
    cp input same
    succeeds "$program" -m $memory same same
    is_same expected same
  done
  printf x >input # what was there is longer
  succeeds "$program" input same
  [ "$(wc -c <same)" -eq 2 ] || fail "the old contents are still there"
  ;;
pipes)
  text 50000 >input
  LC_ALL=C sort input >expected
  # shellcheck disable=SC2002
  cat input | succeeds "$program" -m 1 /dev/stdin sorted || exit 1
  is_same expected sorted
  succeeds "$program" -m 1 input /dev/stdout >pipe.out
  is_same expected pipe.out
  { succeeds "$program" -m 1 input /dev/stdout && : >ended; } | cat >pipe.out
  [ -e ended ] || exit 1
  is_same expected pipe.out
  ;;
failures)
  mkdir folder temporary
  reports 1 "missing: No such file" "$program" missing sorted
  reports 1 "folder: Is a directory" "$program" block folder
  reports 1 "missing/sorted: No such file" "$program" block missing/sorted
  reports 1 "folder" "$program" folder sorted
  [ ! -e /proc/self/mem ] || reports 1 "/proc/self/mem: Input/output error" "$program" /proc/self/mem sorted
  [ ! -c /dev/full ] || reports 1 "/dev/full: No space left" "$program" source /dev/full
  text 150000 >input
  reports 1 "missing/external_sort-" "$program" -m 1 -t missing input sorted
  succeeds "$program" -m 1 -t temporary input sorted
  [ ! -c /dev/full ] || reports 1 "/dev/full: No space left" "$program" -m 1 -t temporary input /dev/full
  (ulimit -n 16 && reports 1 "Too many open files" "$program" -m 1 -t temporary input sorted) || exit 1
  [ -z "$(ls temporary)" ] || fail "temporary files are left: $(ls temporary)"
  for number in 0 4G -1 99999999999999999999999 ''; do
    "$program" -m "$number" input sorted 2>/dev/null
    [ $? -eq 2 ] || fail "takes \"$number\" MiB"
  done
  "$program" -x -m 1 input sorted 2>/dev/null
  [ $? -eq 2 ] || fail "takes an unknown option"
  ;;
full)
  need_mounts
  text 150000 >input
  reports 1 "No space left on device" in_small_folder 500k "$program" -m 1 input small/sorted
  reports 1 "No space left on device" in_small_folder 500k "$program" -m 1 -t small input sorted
  ;;
*) fail "there is no case $1" ;;
esac
