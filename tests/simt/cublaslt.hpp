// What cublaslt.cpp and cublaslt_product.cpp share.
#pragma once

#include <cublasLt.h>

#include <cstdint>

struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N;
  cublasOperation_t transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::uint64_t rows;
  std::uint64_t columns;
  std::int64_t stride;
};

namespace simt {

/// All that a product is, but for addresses.
struct Problem {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, d;
  std::int64_t m, n, k;
};

/// What an algorithm does.
struct ProductWay {
  bool backwards;  ///< From the last k to the first.
  bool sums_in_d;  ///< Rounds each sum to the type of D.
  std::uint64_t workspace_bytes;
};

/// The kernel of a product that has been checked, on the stream.
cudaError_t launch_product(const Problem& problem, const ProductWay& way, const void* a,
                           const void* b, void* d, void* workspace, cudaStream_t stream);

}  // namespace simt
