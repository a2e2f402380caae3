#!/bin/sh
# gpu_check.sh: everything that a GPU is needed for. Builds the preset "cuda", runs the tests of the
# label gpu, the same under compute-sanitizer, then the benchmarks, and writes
# bench/results/<gpu>-<date>.json. Exits with 0 where all passed, with 77 where there is no GPU.
#
#   --quick              fewer cases, small tensors, only memcheck
#   --no-sanitizer       where there is no compute-sanitizer
#   --peers              then the same rows in PyTorch, if python3 has it
#   --time-limit SECONDS  of one program, in place of 3600
#   --archs LIST         architectures to build for ("90", "80;90"); else that of the GPU here, or
#                        with --build-only all that cuqat names
#   --build-only         no GPU is needed: makes a folder that can be copied to a machine with one,
#                        where gpu_run.py in it does the rest, with nothing but Python
#   --build-folder DIR   with --build-only where to make it, else a folder so made: builds nothing
#   --out DIR            where the result goes, in place of bench/results
set -eu
here=$PWD
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
# A path of the caller's, from the root.
absolute() {
  case $1 in
    /*) echo "$1" ;;
    *) echo "$here/$1" ;;
  esac
}

archs=
options=
build_only=
folder=
out=bench/results
while [ $# -gt 0 ]; do
  case $1 in
    --archs | --build-folder | --out | --time-limit) [ $# -ge 2 ] || usage ;;
  esac
  case $1 in
    --archs) archs=$2; shift 2 ;;
    --build-only) build_only=yes; shift ;;
    --build-folder) folder=$(absolute "$2"); shift 2 ;;
    --out) out=$(absolute "$2"); shift 2 ;;
    --time-limit) options="$options $1 $2"; shift 2 ;;
    --quick | --no-sanitizer | --peers) options="$options $1"; shift ;;
    *) usage ;;
  esac
done

tests=gpu_conformance_test  # a list
build=build/gpu-check

if [ -z "$folder" ] || [ -n "$build_only" ]; then
  if [ -z "$archs$build_only" ]; then
    archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 |
      tr -d .)
    if [ -z "$archs" ]; then
      echo "SKIPPED, NOTHING WAS TESTED OR MEASURED: nvidia-smi finds no GPU" >&2
      exit 77
    fi
  fi
  scripts/setup.sh g++ cmake ninja-build git python3 libgtest-dev libgmock-dev librapidcheck-dev \
    libbenchmark-dev libboost-context-dev nlohmann-json3-dev
  # shellcheck disable=SC2086  # nothing or two words
  cmake --preset cuda -B "$build" ${archs:+-D CMAKE_CUDA_ARCHITECTURES="$archs"} \
    -D CUQAT_BUILD_CLI=OFF -D CUQAT_ONEDNN=OFF -D CUQAT_BUILD_BENCH=ON \
    ${build_only:+-D CMAKE_CUDA_FLAGS=--compress-mode=size} >/dev/null
  # shellcheck disable=SC2086  # a list of words
  cmake --build "$build" --target $tests gpu_bench gpu_info
  git describe --always --dirty --exclude '*' --abbrev=40 >"$build/commit" 2>/dev/null ||
    echo unknown >"$build/commit"
  sed -n 's/^CMAKE_CUDA_ARCHITECTURES:[A-Z]*=//p' "$build/CMakeCache.txt" >"$build/architectures"
  echo "$tests" >"$build/suites"
fi

if [ -n "$build_only" ]; then
  folder=${folder:-$PWD/build/gpu-travel}
  mkdir -p "$folder/bin" "$folder/lib"
  for program in $tests gpu_bench gpu_info; do
    strip -o "$folder/bin/$program" "$build/bin/$program"
  done
  # The two that a machine with a driver and Python need not have.
  ldd "$folder/bin/gpu_bench" | awk '/lib(gomp|benchmark)\.so/ { print $3 }' |
    while read -r library; do cp -L "$library" "$folder/lib/"; done
  cp "$build/commit" "$build/architectures" "$build/suites" scripts/gpu_run.py \
    bench/peers/gpu_*.py tests/data/seed_reference.safetensors "$folder"
  size=$(du -sk "$folder" | cut -f 1)
  echo "$folder: $size KiB, commit $(cat "$folder/commit")"
  if [ "$size" -gt 61440 ]; then
    echo "That is more than 60 MiB" >&2
    exit 1
  fi
  echo "There: python3 $(basename "$folder")/gpu_run.py --out RESULTS"
  exit 0
fi

# shellcheck disable=SC2086  # a list of words
exec python3 scripts/gpu_run.py --folder "${folder:-$build}" --out "$out" $options
