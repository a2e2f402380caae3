#!/bin/sh
# Builds everything and runs every test, then the same under AddressSanitizer and
# UndefinedBehaviorSanitizer, then the kernels on the executor under ThreadSanitizer. Installs what
# is missing. Quick the second time.
# Usage: scripts/test.sh [--fast]   --fast leaves the sanitizers out
set -eu
cd "$(dirname "$0")/.."

scripts/setup.sh g++ cmake ninja-build ccache python3 git libcli11-dev libfmt-dev \
  nlohmann-json3-dev libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev \
  libboost-context-dev libopenmpi-dev openmpi-bin libdnnl-dev clang-format-14

presets="cpu cpu-asan simt-tsan"
if [ "${1:-}" = "--fast" ]; then
  presets="cpu"
fi
export CMAKE_CXX_COMPILER_LAUNCHER=ccache
# What one clone has compiled another one need not; precompiled headers ask for the last.
export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}" CCACHE_NOHASHDIR="${CCACHE_NOHASHDIR:-true}"
export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros}"
export CTEST_PARALLEL_LEVEL="${CTEST_PARALLEL_LEVEL:-2}"
# Two programs share two cores: threads that spin while they wait would only slow each other.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

for preset in $presets; do
  echo "== $preset: configure and build"
  cmake --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log"; exit 1; }
  rm -f "build-$preset.log"
  cmake --build --preset "$preset" -- --quiet
done
status=0
for preset in $presets; do
  echo "== $preset: test"
  ctest --preset "$preset" || status=$?
done
exit $status
