// What stands in for cuBLASLt. It refuses, with the status of the real one:
// - int8 that is not A transposed times B ("TN") to int32, m, k or leading dimensions that are no
//   multiples of 4, any epilogue (cublasLtMatmul() in NVIDIA's documentation of cuBLASLt, "regular
//   IMMA kernels"; epilogues are what Hopper does not have there); and n of 16 or less, of which
//   that says nothing, but which PyTorch's torch._int_mm does not ask of cuBLASLt either;
// - FP8 that is not TN to f32, f16 or bf16, both operands E5M2, extents or leading dimensions that
//   are no multiples of 16 bytes, addresses likewise, devices before 8.9 (there, "FP8 kernels");
// - combinations of types that have no kernel, extents of 0 or that do not fit together, leading
//   dimensions below the rows, addresses of A, B, C or D between elements (int8: no multiples of 4)
//   or less aligned than was said when the algorithm was asked for (256 bytes where nothing was:
//   cublasLt.h, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_*_BYTES, whose smaller values also leave no
//   algorithm that needs more), memory that is not the device's;
// - attributes of another size, and values that are none of theirs;
// - an algorithm of another product, and a workspace that is smaller than it asks for.
// Sums are in the order of k for one algorithm and against it for the next, so that nobody relies
// on either; they are rounded to D's 16 bits at each step where the preference allows what rounds
// them, and TF32 shortens f32. The workspace that an algorithm asks for is overwritten.
#include "cublaslt.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <tuple>
#include <utility>

#include "device.hpp"

struct cublasLtContext {};
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace_bytes = 0;
  std::uint32_t schemes = 7;
  std::uint32_t alignment[4] = {256, 256, 256, 256};  ///< A, B, C, D.
};

namespace simt {
namespace {

/// Workspace of the algorithms in turn, where there is so much.
constexpr std::uint64_t kWorkspaceBytes[] = {1024, 0, 4096};

bool is_fp8(cudaDataType_t type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

std::int64_t bytes_of(cudaDataType_t type) {
  switch (type) {
    case CUDA_R_64F:
      return 8;
    case CUDA_R_32F:
    case CUDA_R_32I:
      return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    default:
      return 1;
  }
}

bool are_multiples(std::initializer_list<std::int64_t> numbers, std::int64_t unit) {
  return std::all_of(numbers.begin(), numbers.end(),
                     [unit](std::int64_t number) { return number % unit == 0; });
}

cublasStatus_t check_int8(const Problem& p, bool is_tn) {
  const bool fits = p.b.type == CUDA_R_8I && p.d.type == CUDA_R_32I &&
                    p.operation.compute == CUBLAS_COMPUTE_32I && p.operation.scale == CUDA_R_32I &&
                    p.operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT && is_tn && p.n > 16 &&
                    are_multiples({p.m, p.k, p.a.stride, p.b.stride, p.d.stride}, 4);
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t check_fp8(const Problem& p, bool is_tn) {
  const bool types_fit =
      is_fp8(p.b.type) && !(p.a.type == CUDA_R_8F_E5M2 && p.b.type == CUDA_R_8F_E5M2) &&
      (p.d.type == CUDA_R_32F || p.d.type == CUDA_R_16F || p.d.type == CUDA_R_16BF) &&
      p.operation.compute == CUBLAS_COMPUTE_32F && p.operation.scale == CUDA_R_32F;
  const bool fits =
      types_fit && is_tn && device().compute_capability >= 89 &&
      are_multiples({p.m, p.n, p.k, p.a.stride, p.b.stride, p.d.stride * bytes_of(p.d.type)}, 16);
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t check_float(const Problem& p) {
  const bool is_f64 = p.a.type == CUDA_R_64F;
  const bool is_narrow = p.a.type == CUDA_R_16F || p.a.type == CUDA_R_16BF;
  const auto& [compute, scale, of_a, of_b, epilogue] = p.operation;
  const bool sums_fit =
      is_f64 ? compute == CUBLAS_COMPUTE_64F && scale == CUDA_R_64F
             : (compute == CUBLAS_COMPUTE_32F ||
                (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p.a.type == CUDA_R_32F)) &&
                   scale == CUDA_R_32F;
  const bool types_fit = (is_f64 || is_narrow || p.a.type == CUDA_R_32F) && p.b.type == p.a.type &&
                         (p.d.type == p.a.type || (is_narrow && p.d.type == CUDA_R_32F));
  return sums_fit && types_fit ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t check_problem(Problem& p, const cublasLtMatrixLayoutOpaque_t& c) {
  const auto extents = [](const cublasLtMatrixLayoutOpaque_t& layout, cublasOperation_t how) {
    const auto rows = static_cast<std::int64_t>(layout.rows);
    const auto columns = static_cast<std::int64_t>(layout.columns);
    return how == CUBLAS_OP_N ? std::pair(rows, columns) : std::pair(columns, rows);
  };
  const auto [m, k] = extents(p.a, p.operation.transpose_a);
  const auto [k_of_b, n] = extents(p.b, p.operation.transpose_b);
  p.m = m;
  p.n = n;
  p.k = k;
  const auto is_short = [](const cublasLtMatrixLayoutOpaque_t& layout) {
    return layout.stride < static_cast<std::int64_t>(layout.rows);
  };
  if (k != k_of_b || extents(p.d, CUBLAS_OP_N) != std::pair(m, n) || m < 1 || n < 1 || k < 1 ||
      std::memcmp(&c, &p.d, sizeof(c)) != 0 || is_short(p.a) || is_short(p.b) || is_short(p.d)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool is_tn =
      p.operation.transpose_a == CUBLAS_OP_T && p.operation.transpose_b == CUBLAS_OP_N;
  if (p.a.type == CUDA_R_8I) return check_int8(p, is_tn);
  if (is_fp8(p.a.type)) return check_fp8(p, is_tn);
  return check_float(p);
}

/// Bytes that a matrix of the type is aligned to at least.
std::int64_t least_alignment(cudaDataType_t type) {
  return type == CUDA_R_8I ? 4 : is_fp8(type) ? 16 : bytes_of(type);
}

/// There are algorithms for matrices that are aligned as the preference says.
bool is_aligned_enough(const Problem& p, const cublasLtMatmulPreferenceOpaque_t& preference) {
  const auto fits = [](std::uint32_t alignment, cudaDataType_t type) {
    return static_cast<std::int64_t>(alignment) >= least_alignment(type);
  };
  const auto& [a, b, c, d] = preference.alignment;
  return fits(a, p.a.type) && fits(b, p.b.type) && fits(c, p.d.type) && fits(d, p.d.type);
}

/// A number that tells products apart.
std::uint64_t digest(const Problem& p) {
  std::uint64_t result = 1469598103934665603u;
  const auto add = [&](std::int64_t number) {
    result = (result ^ static_cast<std::uint64_t>(number)) * 1099511628211u;
  };
  for (const std::int64_t number : {p.m, p.n, p.k}) add(number);
  for (const auto* layout : {&p.a, &p.b, &p.d}) {
    add(layout->type);
    add(layout->stride);
  }
  add(p.operation.transpose_a);
  add(p.operation.transpose_b);
  return result;
}

cublasStatus_t check_matrix(const cublasLtMatrixLayoutOpaque_t& layout, const void* data,
                            std::uint64_t alignment) {
  const std::int64_t unit = bytes_of(layout.type);
  const std::int64_t least = least_alignment(layout.type);
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::int64_t bytes = ((static_cast<std::int64_t>(layout.columns) - 1) * layout.stride +
                              static_cast<std::int64_t>(layout.rows)) *
                             unit;
  const bool fits = address % static_cast<std::uint64_t>(least) == 0 && address % alignment == 0 &&
                    are_on_device(data, static_cast<std::size_t>(bytes));
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/// alpha is 1 and beta is 0: others are not what cuqat asks for.
bool are_one_and_zero(cudaDataType_t scale, const void* alpha, const void* beta) {
  if (scale == CUDA_R_32I) {
    return *static_cast<const std::int32_t*>(alpha) == 1 &&
           *static_cast<const std::int32_t*>(beta) == 0;
  }
  if (scale == CUDA_R_64F) {
    return *static_cast<const double*>(alpha) == 1.0 && *static_cast<const double*>(beta) == 0.0;
  }
  return *static_cast<const float*>(alpha) == 1.0f && *static_cast<const float*>(beta) == 0.0f;
}

/// A call that a test may make fail, and its status.
template <typename Body>
cublasStatus_t call_lt(Body body) {
  cublasStatus_t status = CUBLAS_STATUS_INTERNAL_ERROR;
  const cudaError_t error = call(cudaErrorMemoryAllocation, [&](Device& d) {
    status = body(d);
    return cudaSuccess;
  });
  if (error == cudaErrorMemoryAllocation) return CUBLAS_STATUS_ALLOC_FAILED;
  return error == cudaSuccess ? status : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename Object, typename... Arguments>
cublasStatus_t create(Object** object, Arguments... arguments) {
  return call_lt([&](Device& d) {
    *object = new Object{arguments...};
    ++d.products;
    return CUBLAS_STATUS_SUCCESS;
  });
}

template <typename Object>
cublasStatus_t destroy(Object* object) {
  static_cast<void>(release([&](Device& d) {
    delete object;
    --d.products;
    return cudaSuccess;
  }));
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Value>
cublasStatus_t set(Value& value, const void* from, size_t bytes) {
  if (from == nullptr || bytes != sizeof(value)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&value, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

/// One of the values that it may have.
template <typename Value>
cublasStatus_t set(Value& value, const void* from, size_t bytes,
                   std::initializer_list<Value> values) {
  std::uint32_t number = 0;
  static_assert(sizeof(number) == sizeof(value));
  const cublasStatus_t status = set(number, from, bytes);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  for (const Value one : values) {
    if (static_cast<std::uint32_t>(one) != number) continue;
    value = one;
    return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

}  // namespace
}  // namespace simt

using simt::Device;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return simt::create(handle); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return simt::destroy(handle); }

size_t cublasLtGetVersion() { return simt::device().cublaslt_version; }

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      break;
  }
  return "CUBLAS_STATUS_NOT_SUPPORTED";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  return simt::create(operation, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return simt::destroy(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return simt::set(operation->transpose_a, value, bytes, {CUBLAS_OP_N, CUBLAS_OP_T});
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return simt::set(operation->transpose_b, value, bytes, {CUBLAS_OP_N, CUBLAS_OP_T});
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return simt::set(operation->epilogue, value, bytes,
                       {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_BIAS});
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t leading_dimension) {
  return simt::create(layout, type, rows, columns, leading_dimension);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return simt::destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return simt::create(preference);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return simt::destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return simt::set(preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return simt::set(preference->schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return simt::set(
          preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
          bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* count) {
  return simt::call_lt([&](Device& of_test) {
    ++of_test.counters.heuristics;
    *count = 0;
    if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (most < 1) return CUBLAS_STATUS_INVALID_VALUE;
    simt::Problem problem{*operation, *a, *b, *d, 0, 0, 0};
    const cublasStatus_t status = simt::check_problem(problem, *c);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (!simt::is_aligned_enough(problem, *preference)) return CUBLAS_STATUS_NOT_SUPPORTED;
    // Parts of sums of 16 bits are rounded where that has not been ruled out.
    constexpr std::uint32_t kInD =
        CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    const bool sums_in_d = simt::bytes_of(d->type) == 2 && (preference->schemes & kInD) != 0;
    std::uint64_t number = 0;
    for (const std::uint64_t bytes : simt::kWorkspaceBytes) {
      if (*count == most) break;
      cublasLtMatmulHeuristicResult_t result{};
      const auto& [of_a, of_b, of_c, of_d] = preference->alignment;
      result.algo = {
          {simt::digest(problem), number++, bytes, of_a, of_b, of_c, of_d, sums_in_d ? 1u : 0u}};
      result.workspaceSize = static_cast<size_t>(bytes);
      if (bytes <= preference->workspace_bytes) results[(*count)++] = result;
    }
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  simt::Problem problem{*operation, *a, *b, *d, 0, 0, 0};
  const cublasStatus_t status = simt::check_problem(problem, *c);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (algo->data[0] != simt::digest(problem)) return CUBLAS_STATUS_INVALID_VALUE;
  result->workspaceSize = static_cast<size_t>(algo->data[2]);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  simt::Problem problem{*operation, *a_layout, *b_layout, *d_layout, 0, 0, 0};
  cublasStatus_t status = simt::check_problem(problem, *c_layout);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const auto& [digest, number, needed, a_alignment, b_alignment, c_alignment, d_alignment,
               sums_in_d] = algo->data;
  const bool fits = digest == simt::digest(problem) && c == d && needed <= workspace_bytes &&
                    simt::are_on_device(workspace, workspace_bytes) &&
                    simt::are_one_and_zero(operation->scale, alpha, beta);
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;
  for (const auto& [layout, data, alignment] :
       {std::tuple<cublasLtMatrixLayout_t, const void*, std::uint64_t>(a_layout, a, a_alignment),
        {b_layout, b, b_alignment},
        {c_layout, c, c_alignment},
        {d_layout, d, d_alignment}}) {
    status = simt::check_matrix(*layout, data, alignment);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
  }
  const simt::ProductWay way{number % 2 != 0, sums_in_d != 0, needed};
  const cudaError_t error = simt::launch_product(problem, way, a, b, d, workspace, stream);
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
