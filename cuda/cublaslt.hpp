// The functions of cuBLASLt that cuqat calls, found when they are first wanted: the library is
// large, and nothing but products needs it.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

namespace cuqat::gpu {

struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusName) status_name;
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoCheck) check_way;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
};

/// @throws BackendUnavailable where the library or one of the functions is not found.
const CublasLt& cublaslt();

/// True once the process is ending and the library may have been taken down.
bool cublaslt_has_ended();

}  // namespace cuqat::gpu
