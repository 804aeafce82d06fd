#!/bin/sh
# list_is_complete.sh FOLDER HEADER...: fails where the folder has other headers than the ones listed.
cd "$1" || exit 1
shift
there=$(find . -name '*.hpp' | sed 's|^\./||' | LC_ALL=C sort)
listed=$(printf '%s\n' "$@" | LC_ALL=C sort)
[ "$there" = "$listed" ] && exit 0
echo "include/meson.build lists:"
echo "$listed"
echo "but there are:"
echo "$there"
exit 1
