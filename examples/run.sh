#!/bin/sh
# run.sh [--direct] PROGRAM [ARGUMENT...]: runs an example in an empty temporary folder, where "source" is a file of odd
# size and "block" one of 4096 bytes. With --direct it is skipped where O_DIRECT does not work.
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
direct=no
if [ "$1" = --direct ]; then
  direct=yes
  shift
fi
program=$(realpath "$1")
shift
cd "$temp" || exit 1
head -c 5000003 /dev/urandom >source
head -c 4096 source >block
if [ $direct = yes ] && ! dd if=block iflag=direct of=/dev/null bs=4096 2>/dev/null; then exit 77; fi
"$program" "$@"
