#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "check.hpp"
#include "cublaslt.hpp"
#include "cuqat/error.hpp"
#include "product_plan.hpp"
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

/// alpha and beta are read in the call.
template <typename Body>
cublasStatus_t with_one_and_zero(NumberType a_type, const Body& body) {
  const auto run = [&](auto one, auto zero) { return body(&one, &zero); };
  if (a_type == NumberType::kInt8) return run(std::int32_t{1}, std::int32_t{0});
  if (a_type == NumberType::kF64) return run(1.0, 0.0);
  return run(1.0f, 0.0f);
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

/// What begins the bytes of saved plans.
struct SavedHeader {
  char name[8] = {'c', 'u', 'q', 'a', 't', 'p', 'l', '1'};
  std::uint64_t library_version = 0;
  std::uint64_t device_kind = 0;
  std::uint64_t num_plans = 0;
  std::uint64_t digest = 0;  ///< Of the plans' bytes.
};
struct SavedPlan {
  ProductKind kind;
  cublasLtMatmulAlgo_t way;
};
static_assert(sizeof(SavedPlan) == sizeof(ProductKind) + sizeof(cublasLtMatmulAlgo_t));

/// FNV-1a.
std::uint64_t digest_of(std::span<const std::byte> bytes) {
  std::uint64_t result = 14'695'981'039'346'656'037u;
  for (const std::byte byte : bytes) {
    result = (result ^ static_cast<std::uint64_t>(byte)) * 1'099'511'628'211u;
  }
  return result;
}

}  // namespace

struct Multiplier::State {
  struct Remembered {
    ProductPlan plan;
    std::uint64_t last_use;  ///< Number of the call.
  };
  using Plans = std::map<ProductKind, Remembered>;

  Options options;
  CublasLtOwner<cublasLtHandle_t> handle{nullptr, nullptr};
  Plans plans;
  std::uint64_t num_calls = 0;

  /// In the place of the one that was used least recently, where there are too many.
  Plans::iterator remember(const ProductKind& kind, ProductPlan plan) {
    if (plans.size() == kMostPlans && !plans.contains(kind)) {
      plans.erase(std::min_element(plans.begin(), plans.end(), [](const auto& a, const auto& b) {
        return a.second.last_use < b.second.last_use;
      }));
    }
    return plans.insert_or_assign(kind, Remembered{std::move(plan), num_calls++}).first;
  }

  cublasStatus_t run(const MatrixProduct& product, const ProductPlan& plan,
                     const cublasLtMatmulAlgo_t& way, const LaunchTarget& target) const {
    return with_one_and_zero(product.a.type, [&](const void* one, const void* zero) {
      return cublaslt().matmul(handle.get(), plan.operation.get(), one, product.b.data,
                               plan.b.get(), product.a.data, plan.a.get(), zero, product.y,
                               plan.y.get(), product.y, plan.y.get(), &way, options.workspace,
                               options.workspace_bytes, target.stream);
    });
  }

  /// The first one that works of equals.
  cublasLtMatmulAlgo_t fastest(const MatrixProduct& product, const ProductPlan& plan,
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
        check_cublaslt(run(product, plan, ways[i].algo, target), "cublasLtMatmul",
                       target.operation);
      }
      const float time = timer.milliseconds();
      if (time < least) {
        least = time;
        best = i;
      }
    }
    return ways[best].algo;
  }

  cublasLtMatmulAlgo_t choose_way(const MatrixProduct& product, const ProductPlan& plan,
                                  const ProductKind& kind, const LaunchTarget& target) const {
    const auto preference = make_preference(kind, options.workspace_bytes, target.operation);
    std::array<cublasLtMatmulHeuristicResult_t, kMostWays> ways{};
    int num_ways = 0;
    check_cublaslt(cublaslt().heuristic(handle.get(), plan.operation.get(), plan.b.get(),
                                        plan.a.get(), plan.y.get(), plan.y.get(), preference.get(),
                                        kMostWays, ways.data(), &num_ways),
                   "cublasLtMatmulAlgoGetHeuristic", target.operation);
    const auto works = [](const auto& way) { return way.state == CUBLAS_STATUS_SUCCESS; };
    num_ways = static_cast<int>(
        std::stable_partition(ways.begin(), ways.begin() + num_ways, works) - ways.begin());
    if (num_ways == 0) {
      check_cublaslt(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic",
                     target.operation);
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
  check_cublaslt(cublaslt().create(&handle), "cublasLtCreate", operation);
  state_->handle = {handle, cublaslt().destroy};
}

Multiplier::~Multiplier() {
  // Of a context that outlives the library, at exit: there is nothing left to give back to.
  if (cublaslt_has_ended()) static_cast<void>(state_.release());
}

void Multiplier::multiply(const MatrixProduct& product, const LaunchTarget& target) {
  const ProductKind kind = kind_of(product);
  auto found = state_->plans.find(kind);
  if (found == state_->plans.end()) {
    ProductPlan plan = make_plan(kind, target.operation);
    plan.way = state_->choose_way(product, plan, kind, target);
    found = state_->remember(kind, std::move(plan));
  }
  found->second.last_use = state_->num_calls++;
  const ProductPlan& plan = found->second.plan;
  const cublasStatus_t status = state_->run(product, plan, plan.way, target);
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // The next product of the kind asks anew.
  state_->plans.erase(found);
  check_cublaslt(status, "cublasLtMatmul", target.operation);
}

std::vector<std::byte> Multiplier::save() const {
  SavedHeader header;
  header.library_version = cublaslt().version();
  header.device_kind = state_->options.device_kind;
  header.num_plans = state_->plans.size();
  std::vector<std::byte> bytes(sizeof(header) + header.num_plans * sizeof(SavedPlan));
  std::byte* to = bytes.data() + sizeof(header);
  for (const auto& [kind, remembered] : state_->plans) {
    const SavedPlan saved{kind, remembered.plan.way};
    std::memcpy(to, &saved, sizeof(saved));
    to += sizeof(saved);
  }
  header.digest = digest_of(std::span(bytes).subspan(sizeof(header)));
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

void Multiplier::restore(std::span<const std::byte> bytes, std::source_location operation) {
  SavedHeader header;
  const SavedHeader expected;
  if (bytes.size() < sizeof(header)) throw DataError("saved plans end within their header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  const std::span<const std::byte> rest = bytes.subspan(sizeof(header));
  if (std::memcmp(header.name, expected.name, sizeof(header.name)) != 0) {
    throw DataError("these are not saved plans, or those of another version of cuqat");
  }
  if (rest.size() % sizeof(SavedPlan) != 0 || rest.size() / sizeof(SavedPlan) != header.num_plans ||
      header.digest != digest_of(rest)) {
    throw DataError("saved plans are damaged");
  }
  if (header.library_version != cublaslt().version() ||
      header.device_kind != state_->options.device_kind) {
    throw DataError("saved plans are of another version of cuBLASLt or another kind of device");
  }
  std::vector<SavedPlan> plans(header.num_plans);
  if (!rest.empty()) std::memcpy(plans.data(), rest.data(), rest.size());
  for (const SavedPlan& saved : plans) {
    if (!is_possible(saved.kind)) throw DataError("saved plans are damaged");
  }
  for (const SavedPlan& saved : plans) {
    ProductPlan plan = make_plan(saved.kind, operation);
    plan.way = saved.way;
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        cublaslt().check_way(state_->handle.get(), plan.operation.get(), plan.b.get(), plan.a.get(),
                             plan.y.get(), plan.y.get(), &plan.way, &result);
    // One that needs more workspace than there is here is found anew when it is wanted.
    const bool works =
        status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= state_->options.workspace_bytes;
    if (works) static_cast<void>(state_->remember(saved.kind, std::move(plan)));
  }
}

}  // namespace cuqat::gpu
