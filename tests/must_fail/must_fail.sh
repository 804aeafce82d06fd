#!/bin/sh
# must_fail.sh FILE COMPILER [ARGUMENT...]: FILE must be refused with a message that matches the extended regular
# expression in its line "// expect: ...", and accepted with CORRECTED defined. It may have arguments of the compiler
# for either case, in lines "// wrong arguments: ..." and "// right arguments: ...": then it must be refused by one
# error and no other.
file=$1
shift
expected=$(sed -n 's|^// expect: ||p' "$file")
[ -n "$expected" ] || { echo "$file has no line '// expect: ...'"; exit 1; }

wrong=$(sed -n 's|^// wrong arguments: ||p' "$file")
right=$(sed -n 's|^// right arguments: ||p' "$file")

# Unquoted: several arguments, or none.
if ! "$@" $right -fsyntax-only -DCORRECTED "$file"; then
  echo "$file does not compile when corrected"
  exit 1
fi
if message=$(LC_ALL=C "$@" $wrong -fsyntax-only "$file" 2>&1); then
  echo "$file compiles"
  exit 1
fi
if ! printf '%s\n' "$message" | grep -Eq -- "$expected"; then
  printf '%s\n' "$message"
  echo "$file is refused, but nothing in the message matches: $expected"
  exit 1
fi
errors=$(printf '%s\n' "$message" | grep -Ec '(^|[ :])(fatal )?error:')
if [ -n "$wrong$right" ] && [ "$errors" != 1 ]; then
  printf '%s\n' "$message"
  echo "$file is refused by $errors errors instead of 1"
  exit 1
fi
