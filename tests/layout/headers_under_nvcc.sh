#!/bin/sh
# Compiles every public header alone as CUDA, but for those of the components mpi and nccl, which need
# more than the toolkit. Arguments: nvcc, the include folder, a scratch folder.
set -eu
nvcc=$1
include=$2
scratch=$3
status=0
for header in $(cd "$include" && find cuqat -name '*.hpp' ! -name mpi.hpp ! -name nccl.hpp | sort); do
  printf '#include "%s"\n' "$header" > "$scratch/public_alone.cu"
  if ! "$nvcc" -std=c++20 -arch=sm_90 -fmad=false -Werror all-warnings -Xcompiler -Wall,-Wextra \
      -I"$include" -ptx -o /dev/null "$scratch/public_alone.cu"; then
    echo "$header does not compile alone under nvcc"
    status=1
  fi
done
exit $status
