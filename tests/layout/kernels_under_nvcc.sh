#!/bin/sh
# Compiles every kernel for the given architectures. A warning is an error, and so is a register
# spill. No GPU is needed. What ptxas says stays in SCRATCH_FOLDER/ptxas_*.log (kernel_resources.py
# reads it).
# Usage: kernels_under_nvcc.sh NVCC SOURCE_FOLDER SCRATCH_FOLDER ARCHITECTURE...
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
for header in "$source"/cuda/*.cuh "$source"/cuda/*.hpp; do
  printf '#include "%s"\n#include "%s"\n' "$header" "$header" > "$scratch/alone.cu"
  compile "-arch=sm_$1" -ptx -o /dev/null "$scratch/alone.cu" || {
    echo "$header does not compile alone"
    status=1
  }
done
for architecture in "$@"; do
  for file in "$source"/cuda/*.cu; do
    log=$scratch/ptxas_sm_${architecture}_$(basename "$file" .cu).log
    if ! compile "-arch=sm_$architecture" -Xptxas -v -c -o "$scratch/kernels.o" "$file" \
        > "$log" 2>&1; then
      cat "$log"
      status=1
      continue
    fi
    if grep -E '[1-9][0-9]* bytes spill' "$log"; then
      echo "$file spills registers on sm_$architecture"
      status=1
    fi
    registers=$(grep -oE 'Used [0-9]+ registers' "$log" | grep -oE '[0-9]+' | sort -n | tail -n 1)
    echo "sm_$architecture $(basename "$file"): at most ${registers:-0} registers"
  done
done
exit $status
