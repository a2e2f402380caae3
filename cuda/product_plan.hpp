// A kind of product in cuBLASLt's words.
//
// cuBLASLt is column-major: a row-major matrix is to it the transposed one, so that it is asked for
// y^T = op(b)^T op(a)^T. Int8 and FP8 are "TN" in its words, which is a times the transpose of b.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "cublaslt.hpp"
#include "products.hpp"

namespace cuqat::gpu {

/// All that decides which way to make a product is best. Saved as its bytes, of which none is
/// without meaning.
struct ProductKind {
  std::array<std::int64_t, 6> extents;     ///< m, n, k; strides of a, b and y.
  std::array<NumberType, 3> types;         ///< Of a, b and y.
  std::array<std::uint8_t, 2> transposed;  ///< a and b.
  std::array<std::uint8_t, 3> alignments;  ///< In bytes, up to 16.

  friend bool operator<(const ProductKind& one, const ProductKind& other) {
    const auto all = [](const ProductKind& kind) {
      return std::tie(kind.extents, kind.types, kind.transposed, kind.alignments);
    };
    return all(one) < all(other);
  }
};
static_assert(sizeof(ProductKind) == 56);

ProductKind kind_of(const MatrixProduct& product);
/// Of bytes from outside: not one that kind_of could not give.
bool is_possible(const ProductKind& kind);

/// Throws CudaError where the status of a call of cuBLASLt is an error.
void check_cublaslt(cublasStatus_t status, const char* call, std::source_location operation);

/// What cuBLASLt creates, as an owner that destroys it.
template <typename Handle>
using CublasLtOwner = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

/// A kind, and a way to make it.
struct ProductPlan {
  CublasLtOwner<cublasLtMatmulDesc_t> operation;
  CublasLtOwner<cublasLtMatrixLayout_t> a;
  CublasLtOwner<cublasLtMatrixLayout_t> b;
  CublasLtOwner<cublasLtMatrixLayout_t> y;
  cublasLtMatmulAlgo_t way;
};

/// Without a way yet.
ProductPlan make_plan(const ProductKind& kind, std::source_location operation);

/// What a way to make it may be.
CublasLtOwner<cublasLtMatmulPreference_t> make_preference(const ProductKind& kind,
                                                          std::size_t workspace_bytes,
                                                          std::source_location operation);

}  // namespace cuqat::gpu
