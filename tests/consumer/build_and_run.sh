#!/bin/sh
# build_and_run.sh HOW SOURCE_ROOT BUILD_ROOT MESON: copies the program to a temporary folder, installs asioq there
# from BUILD_ROOT (or links SOURCE_ROOT as a subproject), builds the program and runs it.
set -eu
how=$1 source_root=$2 build_root=$3 meson=$4

skip() { echo "skipped: $*"; exit 77; }
case $how in
  pkg-config) command -v pkg-config >/dev/null || skip "pkg-config is not installed" ;;
  cmake) command -v cmake >/dev/null || skip "CMake is not installed" ;;
esac

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
cp "$source_root"/tests/consumer/program/* "$temp"
cd "$temp"

install_asioq() {
  "$meson" install -C "$build_root" --no-rebuild --skip-subprojects --quiet --destdir "$temp/installed"
  # The prefix is not known here; it is the folder above the one share/ that there is.
  share=$(find "$temp/installed" -type d -name share)
  prefix=$(dirname "$share")
}

case $how in
  pkg-config)
    install_asioq
    export PKG_CONFIG_PATH="$prefix/share/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$temp/installed"
    # shellcheck disable=SC2046,SC2086  # several words each, on purpose
    $CXX -std=c++20 main.cpp -o program $(pkg-config --cflags --libs asioq)
    ./program
    ;;
  cmake)
    install_asioq
    cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$prefix"
    cmake --build build
    build/program
    ;;
  subproject)
    mkdir subprojects
    ln -s "$source_root" subprojects/asioq
    "$meson" setup build
    "$meson" compile -C build
    build/program
    targets=$("$meson" introspect --targets build | grep -o '"name": "[^"]*"')
    [ "$targets" = '"name": "program"' ] || { echo "the subproject built more: $targets"; exit 1; }
    ;;
esac
