#!/bin/sh
# Checks the layout of every source file. Arguments: clang-format, the project's folder.
# Another version of clang-format lays out other code: skipped (77), and said so.
set -eu
clang_format=$1
cd "$2"
case $("$clang_format" --version) in
  *"version 14."*) ;;
  *) echo "SKIPPED: needs clang-format 14, found $("$clang_format" --version)"; exit 77 ;;
esac
find include src cuda tests bench examples -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' \
  -o -name '*.cuh' | sort |
  xargs "$clang_format" --dry-run --Werror
