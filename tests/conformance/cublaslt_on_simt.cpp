// In the place of cuda/cublaslt.cu: the executor's cuBLASLt.
#include "cublaslt.hpp"

namespace cuqat::gpu {

const CublasLt& cublaslt() {
  static constexpr CublasLt kStandIn{.create = cublasLtCreate,
                                     .destroy = cublasLtDestroy,
                                     .status_name = cublasLtGetStatusName,
                                     .version = cublasLtGetVersion,
                                     .matmul = cublasLtMatmul,
                                     .check_way = cublasLtMatmulAlgoCheck,
                                     .heuristic = cublasLtMatmulAlgoGetHeuristic,
                                     .create_operation = cublasLtMatmulDescCreate,
                                     .destroy_operation = cublasLtMatmulDescDestroy,
                                     .set_operation = cublasLtMatmulDescSetAttribute,
                                     .create_preference = cublasLtMatmulPreferenceCreate,
                                     .destroy_preference = cublasLtMatmulPreferenceDestroy,
                                     .set_preference = cublasLtMatmulPreferenceSetAttribute,
                                     .create_layout = cublasLtMatrixLayoutCreate,
                                     .destroy_layout = cublasLtMatrixLayoutDestroy};
  return kStandIn;
}

bool cublaslt_has_ended() { return false; }

}  // namespace cuqat::gpu
