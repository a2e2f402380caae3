#include "product_plan.hpp"

#include <algorithm>
#include <string>

#include "check.hpp"

namespace cuqat::gpu {
namespace {

using Operation = CublasLtOwner<cublasLtMatmulDesc_t>;
using Layout = CublasLtOwner<cublasLtMatrixLayout_t>;
using Preference = CublasLtOwner<cublasLtMatmulPreference_t>;

/// Bytes, up to those that anything asks for.
std::uint8_t alignment_of(const void* address) {
  std::uint8_t alignment = 1;
  while (alignment < 16 && reinterpret_cast<std::uintptr_t>(address) % (2u * alignment) == 0) {
    alignment = static_cast<std::uint8_t>(2 * alignment);
  }
  return alignment;
}

cudaDataType_t data_type(NumberType type) {
  switch (type) {
    case NumberType::kF32:
      return CUDA_R_32F;
    case NumberType::kF64:
      return CUDA_R_64F;
    case NumberType::kF16:
      return CUDA_R_16F;
    case NumberType::kBF16:
      return CUDA_R_16BF;
    case NumberType::kInt8:
      return CUDA_R_8I;
    case NumberType::kInt32:
      return CUDA_R_32I;
    case NumberType::kE4M3:
      return CUDA_R_8F_E4M3;
    case NumberType::kE5M2:
      break;
  }
  return CUDA_R_8F_E5M2;
}

/// What products are summed in, which is what alpha and beta are too.
struct SumType {
  cublasComputeType_t compute;
  cudaDataType_t scale;
};
SumType sum_type(NumberType a_type) {
  if (a_type == NumberType::kInt8) return {CUBLAS_COMPUTE_32I, CUDA_R_32I};
  if (a_type == NumberType::kF64) return {CUBLAS_COMPUTE_64F, CUDA_R_64F};
  // Without TF32, which is a type of its own.
  return {CUBLAS_COMPUTE_32F, CUDA_R_32F};
}

/// Of the matrix as it lies in memory.
Layout make_layout(NumberType type, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                   std::source_location operation) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublaslt(
      cublaslt().create_layout(&layout, data_type(type), static_cast<std::uint64_t>(columns),
                               static_cast<std::uint64_t>(rows), stride),
      "cublasLtMatrixLayoutCreate", operation);
  return {layout, cublaslt().destroy_layout};
}

Operation make_operation(const ProductKind& kind, std::source_location operation) {
  const SumType sums = sum_type(kind.types[0]);
  cublasLtMatmulDesc_t created = nullptr;
  check_cublaslt(cublaslt().create_operation(&created, sums.compute, sums.scale),
                 "cublasLtMatmulDescCreate", operation);
  Operation owned(created, cublaslt().destroy_operation);
  const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool transposed) {
    const cublasOperation_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_cublaslt(cublaslt().set_operation(created, which, &value, sizeof(value)),
                   "cublasLtMatmulDescSetAttribute", operation);
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, kind.transposed[1] != 0);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, kind.transposed[0] != 0);
  return owned;
}

}  // namespace

ProductKind kind_of(const MatrixProduct& product) {
  const auto& [shape, a, b, y_type, y, y_stride] = product;
  return {{shape.m, shape.n, shape.k, a.stride, b.stride, y_stride},
          {a.type, b.type, y_type},
          {static_cast<std::uint8_t>(a.transposed), static_cast<std::uint8_t>(b.transposed)},
          {alignment_of(a.data), alignment_of(b.data), alignment_of(y)}};
}

bool is_possible(const ProductKind& kind) {
  const auto all = [](const auto& values, const auto& body) {
    return std::all_of(values.begin(), values.end(), body);
  };
  return all(kind.extents, [](std::int64_t extent) { return extent > 0; }) &&
         all(kind.types, [](NumberType type) { return type <= NumberType::kE5M2; }) &&
         all(kind.transposed, [](std::uint8_t transposed) { return transposed <= 1; }) &&
         all(kind.alignments, [](std::uint8_t alignment) {
           return alignment == 1 || alignment == 2 || alignment == 4 || alignment == 8 ||
                  alignment == 16;
         });
}

void check_cublaslt(cublasStatus_t status, const char* call, std::source_location operation) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const cudaError_t known = cudaGetLastError();
  // What the runtime knows of a failure says more.
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR) {
    check(known, call, operation);
  }
  const auto code = status == CUBLAS_STATUS_ALLOC_FAILED ? cudaErrorMemoryAllocation
                    : status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH
                        ? cudaErrorNotSupported
                        : cudaErrorUnknown;
  throw_cuda_error(call,
                   std::string(cublaslt().status_name(status)) + " (" +
                       std::to_string(static_cast<int>(status)) + ")",
                   static_cast<int>(code), false, operation);
}

ProductPlan make_plan(const ProductKind& kind, std::source_location operation) {
  const auto& [m, n, k, a_stride, b_stride, y_stride] = kind.extents;
  const bool a_transposed = kind.transposed[0] != 0;
  const bool b_transposed = kind.transposed[1] != 0;
  return {
      make_operation(kind, operation),
      make_layout(kind.types[0], a_transposed ? k : m, a_transposed ? m : k, a_stride, operation),
      make_layout(kind.types[1], b_transposed ? n : k, b_transposed ? k : n, b_stride, operation),
      make_layout(kind.types[2], m, n, y_stride, operation),
      {}};
}

Preference make_preference(const ProductKind& kind, std::size_t workspace_bytes,
                           std::source_location operation) {
  cublasLtMatmulPreference_t created = nullptr;
  check_cublaslt(cublaslt().create_preference(&created), "cublasLtMatmulPreferenceCreate",
                 operation);
  Preference owned(created, cublaslt().destroy_preference);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
    check_cublaslt(cublaslt().set_preference(created, which, &value, sizeof(value)),
                   "cublasLtMatmulPreferenceSetAttribute", operation);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{kind.alignments[1]});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{kind.alignments[0]});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::uint32_t{kind.alignments[2]});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::uint32_t{kind.alignments[2]});
  // Parts of a sum are never rounded to 16 bits: they are added in f32, in the workspace.
  const bool is_narrow = kind.types[2] == NumberType::kF16 || kind.types[2] == NumberType::kBF16;
  const std::uint32_t schemes =
      is_narrow ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                : CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  return owned;
}

}  // namespace cuqat::gpu
