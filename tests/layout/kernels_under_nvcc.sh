#!/bin/sh
# Compiles every header of the kernels alone ("headers"), and every kernel for the architectures
# given ("90"). A warning is an error, and so is a register spill. No GPU is needed. What ptxas says
# stays in SCRATCH_FOLDER/ptxas_*.log (kernel_resources.py reads it).
# Usage: kernels_under_nvcc.sh NVCC SOURCE_FOLDER SCRATCH_FOLDER (headers | ARCHITECTURE)...
set -eu
nvcc=$1
source=$2
scratch=$3
shift 3
status=0

compile() {
  "$nvcc" -std=c++20 -fmad=false -Werror all-warnings -Xcompiler -Wall,-Wextra \
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

compile_kernels() {
  for file in "$source"/cuda/*.cu; do
    log=$scratch/ptxas_sm_$1_$(basename "$file" .cu).log
    if ! compile "-arch=sm_$1" -Xptxas -v -c -o "$scratch/kernels_$1.o" "$file" \
        > "$log" 2>&1; then
      cat "$log"
      status=1
      continue
    fi
    if grep -E '[1-9][0-9]* bytes spill' "$log"; then
      echo "$file spills registers on sm_$1"
      status=1
    fi
    registers=$(grep -oE 'Used [0-9]+ registers' "$log" | grep -oE '[0-9]+' | sort -n | tail -n 1)
    echo "sm_$1 $(basename "$file"): at most ${registers:-0} registers"
  done
}

for what in "$@"; do
  if [ "$what" = headers ]; then
    compile_headers
  else
    compile_kernels "$what"
  fi
done
exit $status
