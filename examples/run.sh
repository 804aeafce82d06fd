#!/bin/sh
# run.sh [--direct] [--checks SCRIPT] PROGRAM [ARGUMENT...]: runs an example in an empty temporary folder, where
# "source" is a file of odd size and "block" one of 4096 bytes. With --direct it is skipped where O_DIRECT does not
# work. With --checks the script runs the program ("$program") and checks its results; the functions below are for it.
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
direct=no
if [ "$1" = --direct ]; then
  direct=yes
  shift
fi
checks=
if [ "$1" = --checks ]; then
  checks=$(realpath "$2")
  shift 2
fi
program=$(realpath "$1")
program_name=$(basename "$program")
shift
cd "$temp" || exit 1
head -c 5000003 /dev/urandom >source
head -c 4096 source >block
if [ $direct = yes ] && ! dd if=block iflag=direct of=/dev/null bs=4096 2>/dev/null; then exit 77; fi
if [ -z "$checks" ]; then
  "$program" "$@"
  exit
fi

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# Skips the test.
skip() {
  echo "SKIPPED: $*" >&2
  exit 77
}

# succeeds COMMAND...: it exits with 0 and says nothing on stderr.
succeeds() {
  "$@" 2>errors || fail "$* exits with $?: $(cat errors)"
  [ ! -s errors ] || fail "$* says: $(cat errors)"
}

# reports LINES TEXT COMMAND...: it exits with 1, after that many lines on stderr, each with the program's name, and one
# of them with the text.
reports() {
  lines=$1
  text=$2
  shift 2
  "$@" 2>errors
  status=$?
  [ $status -eq 1 ] || fail "$* exits with $status, not with 1: $(cat errors)"
  [ "$(wc -l <errors)" -eq "$lines" ] || fail "$* says not $lines lines: $(cat errors)"
  [ "$(grep -c "^$program_name: " errors)" -eq "$lines" ] || fail "$*: not the program's messages: $(cat errors)"
  grep -qF -- "$text" errors || fail "$* does not say \"$text\": $(cat errors)"
}

# is_same FILE FILE
is_same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# Skips the test if file systems cannot be mounted: for in_small_folder.
need_mounts() {
  mounts="unshare --mount"
  [ "$(id -u)" -eq 0 ] || mounts="unshare --user --map-root-user --mount"
  mkdir -p small
  $mounts mount -t tmpfs -o size=4k none small 2>/dev/null || skip "a file system cannot be mounted here"
}

# in_small_folder SIZE COMMAND...: runs it where "small" is a folder with room for so much, as mount(8) understands it.
in_small_folder() {
  small_size=$1
  shift
  # shellcheck disable=SC2016
  $mounts sh -c 'mount -t tmpfs -o "size=$1" none small && shift && exec "$@"' sh "$small_size" "$@"
}

# shellcheck source=/dev/null
. "$checks"
