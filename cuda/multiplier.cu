// cuBLASLt is column-major: a row-major matrix is to it the transposed one, so that it is asked for
// y^T = op(b)^T op(a)^T. Int8 and FP8 are "TN" in its words, which is a times the transpose of b.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "check.hpp"
#include "cublaslt.hpp"
#include "products.hpp"

namespace cuqat::gpu {
namespace {

/// Kinds of products that are remembered. A program has few; one whose batches all differ does not
/// fill the memory.
constexpr std::size_t kMostPlans = 1024;
/// Ways to make a product that are tried.
constexpr int kMostWays = 8;
/// Products of each, after one that loads what it needs.
constexpr int kTimedProducts = 3;

/// All that decides which way is best.
struct Kind {
  std::array<std::int64_t, 6> extents;  ///< m, n, k; strides of a, b and y.
  std::array<NumberType, 3> types;      ///< Of a, b and y.
  std::array<bool, 2> transposed;       ///< a and b.
  std::array<std::uint32_t, 3> alignments;

  friend bool operator<(const Kind& one, const Kind& other) {
    const auto all = [](const Kind& kind) {
      return std::tie(kind.extents, kind.types, kind.transposed, kind.alignments);
    };
    return all(one) < all(other);
  }
};

/// Bytes, up to those that anything asks for.
std::uint32_t alignment_of(const void* address) {
  std::uint32_t alignment = 1;
  while (alignment < 16 && reinterpret_cast<std::uintptr_t>(address) % (2 * alignment) == 0) {
    alignment *= 2;
  }
  return alignment;
}

Kind kind_of(const MatrixProduct& product) {
  const auto& [shape, a, b, y_type, y, y_stride] = product;
  return {{shape.m, shape.n, shape.k, a.stride, b.stride, y_stride},
          {a.type, b.type, y_type},
          {a.transposed, b.transposed},
          {alignment_of(a.data), alignment_of(b.data), alignment_of(y)}};
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

/// alpha and beta are read in the call.
template <typename Body>
cublasStatus_t with_one_and_zero(NumberType a_type, const Body& body) {
  const auto run = [&](auto one, auto zero) { return body(&one, &zero); };
  if (a_type == NumberType::kInt8) return run(std::int32_t{1}, std::int32_t{0});
  if (a_type == NumberType::kF64) return run(1.0, 0.0);
  return run(1.0f, 0.0f);
}

void check_lt(cublasStatus_t status, const char* call, std::source_location operation) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // What the runtime knows of it says more.
  check(cudaGetLastError(), call, operation);
  const auto code = status == CUBLAS_STATUS_ALLOC_FAILED ? cudaErrorMemoryAllocation
                    : status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH
                        ? cudaErrorNotSupported
                        : cudaErrorUnknown;
  throw_cuda_error(call,
                   std::string(cublaslt().status_name(status)) + " (" +
                       std::to_string(static_cast<int>(status)) + ")",
                   static_cast<int>(code), false, operation);
}

/// What cuBLASLt creates, as an owner that destroys it.
template <typename Handle>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

using Operation = Owner<cublasLtMatmulDesc_t>;
using Layout = Owner<cublasLtMatrixLayout_t>;
using Preference = Owner<cublasLtMatmulPreference_t>;

/// Of the matrix as it lies in memory.
Layout make_layout(NumberType type, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                   std::source_location operation) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_lt(cublaslt().create_layout(&layout, data_type(type), static_cast<std::uint64_t>(columns),
                                    static_cast<std::uint64_t>(rows), stride),
           "cublasLtMatrixLayoutCreate", operation);
  return {layout, cublaslt().destroy_layout};
}

/// A product's kind in cuBLASLt's words, and the way to make it.
struct Plan {
  Operation operation;
  Layout a;
  Layout b;
  Layout y;
  cublasLtMatmulAlgo_t way;
};

Operation make_operation(const MatrixProduct& product, std::source_location operation) {
  const SumType sums = sum_type(product.a.type);
  cublasLtMatmulDesc_t created = nullptr;
  check_lt(cublaslt().create_operation(&created, sums.compute, sums.scale),
           "cublasLtMatmulDescCreate", operation);
  Operation owned(created, cublaslt().destroy_operation);
  const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool transposed) {
    const cublasOperation_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_lt(cublaslt().set_operation(created, which, &value, sizeof(value)),
             "cublasLtMatmulDescSetAttribute", operation);
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, product.b.transposed);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, product.a.transposed);
  return owned;
}

Plan make_plan(const MatrixProduct& product, std::source_location operation) {
  const auto& [m, n, k] = product.shape;
  const auto layout_of = [&](const Operand& operand, std::int64_t rows, std::int64_t columns) {
    if (operand.transposed) std::swap(rows, columns);
    return make_layout(operand.type, rows, columns, operand.stride, operation);
  };
  return {make_operation(product, operation),
          layout_of(product.a, m, k),
          layout_of(product.b, k, n),
          make_layout(product.y_type, m, n, product.y_stride, operation),
          {}};
}

Preference make_preference(const Kind& kind, std::size_t workspace_bytes,
                           std::source_location operation) {
  cublasLtMatmulPreference_t created = nullptr;
  check_lt(cublaslt().create_preference(&created), "cublasLtMatmulPreferenceCreate", operation);
  Preference owned(created, cublaslt().destroy_preference);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
    check_lt(cublaslt().set_preference(created, which, &value, sizeof(value)),
             "cublasLtMatmulPreferenceSetAttribute", operation);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kind.alignments[1]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kind.alignments[0]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kind.alignments[2]);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kind.alignments[2]);
  // Parts of a sum are never rounded to 16 bits: they are added in f32, in the workspace.
  const bool is_narrow = kind.types[2] == NumberType::kF16 || kind.types[2] == NumberType::kBF16;
  const std::uint32_t schemes =
      is_narrow ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                : CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  return owned;
}

/// Times what a stream does between two records.
class Timer {
 public:
  explicit Timer(const LaunchTarget& target) : target_(target) {
    check(cudaEventCreate(&begin_), "cudaEventCreate", target.operation);
    const cudaError_t status = cudaEventCreate(&end_);
    if (status != cudaSuccess) static_cast<void>(cudaEventDestroy(begin_));
    check(status, "cudaEventCreate", target.operation);
  }
  ~Timer() {
    static_cast<void>(cudaEventDestroy(begin_));
    static_cast<void>(cudaEventDestroy(end_));
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void begin() { record(begin_); }
  /// Waits.
  float milliseconds() {
    record(end_);
    check(cudaEventSynchronize(end_), "cudaEventSynchronize", target_.operation);
    float result = 0.0f;
    check(cudaEventElapsedTime(&result, begin_, end_), "cudaEventElapsedTime", target_.operation);
    return result;
  }

 private:
  void record(cudaEvent_t event) {
    check(cudaEventRecord(event, target_.stream), "cudaEventRecord", target_.operation);
  }

  const LaunchTarget& target_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

bool is_capturing(const LaunchTarget& target) {
  cudaStreamCaptureStatus status{};
  check(cudaStreamIsCapturing(target.stream, &status), "cudaStreamIsCapturing", target.operation);
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace

struct Multiplier::State {
  Options options;
  Owner<cublasLtHandle_t> handle{nullptr, nullptr};
  std::map<Kind, Plan> plans;

  cublasStatus_t run(const MatrixProduct& product, const Plan& plan,
                     const cublasLtMatmulAlgo_t& way, const LaunchTarget& target) const {
    return with_one_and_zero(product.a.type, [&](const void* one, const void* zero) {
      return cublaslt().matmul(handle.get(), plan.operation.get(), one, product.b.data,
                               plan.b.get(), product.a.data, plan.a.get(), zero, product.y,
                               plan.y.get(), product.y, plan.y.get(), &way, options.workspace,
                               options.workspace_bytes, target.stream);
    });
  }

  /// The first one that works of equals.
  cublasLtMatmulAlgo_t fastest(const MatrixProduct& product, const Plan& plan,
                               const cublasLtMatmulHeuristicResult_t* ways, int num_ways,
                               const LaunchTarget& target) const {
    Timer timer(target);
    float least = std::numeric_limits<float>::infinity();
    int best = 0;
    for (int i = 0; i < num_ways; ++i) {
      if (run(product, plan, ways[i].algo, target) != CUBLAS_STATUS_SUCCESS) {
        static_cast<void>(cudaGetLastError());
        continue;
      }
      timer.begin();
      for (int j = 0; j < kTimedProducts; ++j) {
        check_lt(run(product, plan, ways[i].algo, target), "cublasLtMatmul", target.operation);
      }
      const float time = timer.milliseconds();
      if (time < least) {
        least = time;
        best = i;
      }
    }
    return ways[best].algo;
  }

  cublasLtMatmulAlgo_t choose_way(const MatrixProduct& product, const Plan& plan, const Kind& kind,
                                  const LaunchTarget& target) const {
    const Preference preference = make_preference(kind, options.workspace_bytes, target.operation);
    std::array<cublasLtMatmulHeuristicResult_t, kMostWays> ways{};
    int num_ways = 0;
    check_lt(cublaslt().heuristic(handle.get(), plan.operation.get(), plan.b.get(), plan.a.get(),
                                  plan.y.get(), plan.y.get(), preference.get(), kMostWays,
                                  ways.data(), &num_ways),
             "cublasLtMatmulAlgoGetHeuristic", target.operation);
    const auto works = [](const auto& way) { return way.state == CUBLAS_STATUS_SUCCESS; };
    num_ways = static_cast<int>(
        std::stable_partition(ways.begin(), ways.begin() + num_ways, works) - ways.begin());
    if (num_ways == 0) {
      check_lt(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", target.operation);
    }
    // Sums of integers are the same in any order. Those of other numbers would depend on what was
    // fastest in this run.
    if (!options.tunes || product.a.type != NumberType::kInt8 || is_capturing(target)) {
      return ways[0].algo;
    }
    return fastest(product, plan, ways.data(), num_ways, target);
  }
};

Multiplier::Multiplier(const Options& options, std::source_location operation)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  cublasLtHandle_t handle = nullptr;
  check_lt(cublaslt().create(&handle), "cublasLtCreate", operation);
  state_->handle = {handle, cublaslt().destroy};
}

Multiplier::~Multiplier() = default;

void Multiplier::multiply(const MatrixProduct& product, const LaunchTarget& target) {
  const Kind kind = kind_of(product);
  auto found = state_->plans.find(kind);
  if (found == state_->plans.end()) {
    Plan plan = make_plan(product, target.operation);
    plan.way = state_->choose_way(product, plan, kind, target);
    if (state_->plans.size() == kMostPlans) state_->plans.clear();
    found = state_->plans.emplace(kind, std::move(plan)).first;
  }
  check_lt(state_->run(product, found->second, found->second.way, target), "cublasLtMatmul",
           target.operation);
}

}  // namespace cuqat::gpu
