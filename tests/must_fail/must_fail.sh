#!/bin/sh
# must_fail.sh FILE COMPILER [ARGUMENT...]: FILE must be refused with a message that matches the extended regular
# expression in its line "// expect: ...", and accepted with CORRECTED defined.
file=$1
shift
expected=$(sed -n 's|^// expect: ||p' "$file")
[ -n "$expected" ] || { echo "$file has no line '// expect: ...'"; exit 1; }

if ! "$@" -fsyntax-only -DCORRECTED "$file"; then
  echo "$file does not compile when corrected"
  exit 1
fi
if message=$(LC_ALL=C "$@" -fsyntax-only "$file" 2>&1); then
  echo "$file compiles"
  exit 1
fi
if ! printf '%s\n' "$message" | grep -Eq -- "$expected"; then
  printf '%s\n' "$message"
  echo "$file is refused, but nothing in the message matches: $expected"
  exit 1
fi
