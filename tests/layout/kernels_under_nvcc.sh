#!/bin/sh
# Compiles every header of the kernels alone ("headers"), every kernel for the architectures given
# ("90"), and what is only built for a GPU, or with the toolkit's headers for one ("gpu_sources"). A
# warning is an error, and so are a register spill and a step that is not rounded for itself
# (ptx_rounding.awk; "rounding" tests that it sees them). No GPU is needed. What ptxas says stays in
# SCRATCH_FOLDER/ptxas_*.log (kernel_resources.py reads it).
# Usage: kernels_under_nvcc.sh NVCC SOURCE_FOLDER SCRATCH_FOLDER WHAT...
# where WHAT is headers, rounding, gpu_sources or an architecture
set -eu
nvcc=$1
source=$2
scratch=$3
shift 3
status=0
fmad=false

compile() {
  "$nvcc" -std=c++20 "-fmad=$fmad" -Werror all-warnings -Xcompiler -Wall,-Wextra \
    -I"$source/include" -I"$source/cuda" "$@"
}

compile_headers() {
  for header in "$source"/cuda/*.cuh "$source"/cuda/*.hpp; do
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" > "$scratch/alone.cu"
    compile -arch=sm_90 -ptx -o /dev/null "$scratch/alone.cu" || {
      echo "$header does not compile alone"
      status=1
    }
  done
}

check_for_gpu() {
  g++ -std=c++20 -Wall -Wextra -Werror -DCUQAT_TEST_DATA_DIR='"."' -I"$source/include" \
    -I"$source/src" -I"$source/tests" -I"$source/cuda" -I"$source/examples/training" \
    -isystem "$toolkit" -isystem "$toolkit/cccl" "$@"
}

compile_gpu_sources() {
  for file in "$source"/bench/gpu/*.cu; do
    compile -arch=sm_90 -ptx -o /dev/null "$file" || status=1
  done
  for file in "$source"/examples/*/*.cu; do
    compile -I"$source/examples/training" -arch=sm_90 -ptx -o /dev/null "$file" || status=1
  done
  toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v "$nvcc")")")")/include
  # GoogleTest's header is most of what a test is to the compiler: it is parsed once.
  echo '#include <gtest/gtest.h>' > "$scratch/test_header.hpp"
  check_for_gpu -x c++-header -o "$scratch/test_header.hpp.gch" "$scratch/test_header.hpp"
  for file in "$source"/bench/gpu/*.cpp "$source"/tests/conformance/device_*.cpp \
      "$source"/tests/support/*_gpu.cpp "$source"/tests/support/gpu_*.cpp \
      "$source"/tests/support/device_table.cpp "$source"/examples/*_on_device/*.cpp \
      "$source"/examples/*/device_*.cpp; do
    # These call the executor.
    case $file in *_failures_test.cpp | *_sum_rounds_test.cpp) continue ;; esac
    case $file in */tests/*) parsed=$scratch/test_header.hpp ;; *) parsed=/dev/null ;; esac
    check_for_gpu -fsyntax-only -include "$parsed" "$file" || {
      echo "$file does not compile for a GPU"
      status=1
    }
  done
}

# Says so if the check of rounding does not answer "accepts" or "refuses" to a statement.
expect_that_it() {
  answer=accepts
  echo "__global__ void kernel(float* x, float* y) { $2; }" > "$scratch/rounding.cu"
  compile "$3" -arch=sm_90 -ptx -o "$scratch/rounding.ptx" "$scratch/rounding.cu"
  awk -f "$source/tests/layout/ptx_rounding.awk" "$scratch/rounding.ptx" > /dev/null ||
    answer=refuses
  if [ "$answer" != "$1" ]; then
    echo "ptx_rounding.awk $answer \"$2\" with -fmad=$fmad $3"
    status=1
  fi
}

check_rounding() {
  steps='*x = *x * *y + *y / *x'
  expect_that_it accepts "$steps" -ftz=false
  expect_that_it refuses "$steps" -ftz=true
  expect_that_it refuses "$steps" -prec-div=false
  expect_that_it refuses '*x = __fmaf_rn(*x, *y, *x)' -ftz=false
  expect_that_it refuses '*x = static_cast<float>(__fma_rn(*x, *y, *x))' -ftz=false
  fmad=true
  expect_that_it refuses "$steps" -ftz=false
  expect_that_it refuses '*x = *x * *y' -ftz=false
  fmad=false
}

compile_kernels() {
  keep=$scratch/keep_$1
  for file in "$source"/cuda/*.cu; do
    name=$(basename "$file" .cu)
    log=$scratch/ptxas_sm_$1_$name.log
    mkdir -p "$keep"
    if ! compile "-arch=sm_$1" -Xptxas -v --keep --keep-dir "$keep" -c -o "$keep/$name.o" "$file" \
        > "$log" 2>&1; then
      cat "$log"
      status=1
      continue
    fi
    awk -f "$source/tests/layout/ptx_rounding.awk" "$keep/$name.ptx" || status=1
    rm -r "$keep"
    # CUB's own kernels are CUB's.
    if awk '/Function properties for/ { kernel = $NF; next }
            kernel !~ /^_ZN3cub/ && /[1-9][0-9]* bytes spill/ { print kernel ": " $0; found = 1 }
            END { exit !found }' "$log"; then
      echo "$file spills registers on sm_$1"
      status=1
    fi
    registers=$(grep -oE 'Used [0-9]+ registers' "$log" | grep -oE '[0-9]+' | sort -n | tail -n 1)
    echo "sm_$1 $name.cu: at most ${registers:-0} registers"
  done
}

for what in "$@"; do
  if [ "$what" = headers ]; then
    compile_headers
  elif [ "$what" = rounding ]; then
    check_rounding
  elif [ "$what" = gpu_sources ]; then
    compile_gpu_sources
  else
    compile_kernels "$what"
  fi
done
exit $status
