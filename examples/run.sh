#!/bin/sh
# run.sh PROGRAM [ARGUMENT...]: runs an example in an empty temporary folder, where "source" is a file of odd size.
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
program=$(realpath "$1")
shift
cd "$temp" || exit 1
head -c 5000003 /dev/urandom >source
"$program" "$@"
