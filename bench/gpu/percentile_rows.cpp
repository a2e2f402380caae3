// Row 9: five percentiles at once, by selection and by sorting.
#include <cuqat/device_percentile.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

const std::vector<double>& percentiles() {
  static const std::vector<double> kFive = {99.0, 99.9, 99.99, 99.999, 100.0};
  return kFive;
}

/// bf16 or f32 numbers that repeat.
template <typename T>
std::vector<T> period() {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return normal_period();
  } else {
    std::mt19937 generator(17);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(std::size_t{1} << 20);
    for (float& number : numbers) number = normal(generator);
    return numbers;
  }
}

/// Of `count` elements that repeat the period.
template <typename T>
std::vector<Range> expected_ranges(const std::vector<T>& period, std::int64_t count) {
  const auto length = static_cast<std::int64_t>(period.size());
  const std::int64_t repeats = (count - 1) / length + 1;
  // As batches: the host library counts them one by one, and copies nothing.
  std::vector<ConstTensorView> batches(static_cast<std::size_t>(repeats - 1),
                                       ConstTensorView(period.data(), Shape{length}));
  batches.emplace_back(period.data(), Shape{count - (repeats - 1) * length});
  std::vector<std::int64_t> ranks;
  for (const double p : percentiles()) ranks.push_back(percentile_rank(count, p));
  std::vector<Range> ranges;
  for (const double a : order_statistics(batches, OrderBy::kMagnitude, ranks)) {
    ranges.push_back({-a, a});
  }
  return ranges;
}

template <typename T>
class Percentiles : public Operation {
 public:
  Percentiles(std::int64_t count, int num_sets, bool by_sorting)
      : count_(count),
        by_sorting_(by_sorting),
        result_(static_cast<std::int64_t>(percentiles().size() * sizeof(Range))),
        context_(options(count, by_sorting)) {
    const std::vector<T> numbers = period<T>();
    for (int i = 0; i < num_sets; ++i) x_.push_back(repeated(numbers, count));
  }

  void run(int set, cudaStream_t stream) const override {
    const ConstDeviceTensorView x(x_[static_cast<std::size_t>(set)].template as<T>(),
                                  Shape{count_});
    if (by_sorting_) {
      sorted_percentile_ranges(x, {}, OrderBy::kMagnitude, percentiles(), result_.span<Range>(),
                               context_, stream);
    } else {
      percentile_ranges(x, OrderBy::kMagnitude, percentiles(), result_.span<Range>(), context_,
                        stream);
    }
  }

  [[nodiscard]] std::string difference(int) const override {
    return bench::difference("the ranges", result_, expected_ranges(period<T>(), count_));
  }

  void forget(int) const override { spoil(result_); }

 private:
  static DeviceContext::Options options(std::int64_t count, bool by_sorting) {
    const DType dtype = ConstDeviceTensorView(static_cast<const T*>(nullptr), Shape{0}).dtype();
    DeviceContext::Options options;
    options.workspace_bytes =
        by_sorting ? sorted_percentile_workspace_bytes(dtype, Shape{count}, {}, DeviceContext())
                   : percentile_workspace_bytes(dtype, OrderBy::kMagnitude, percentiles().size());
    return options;
  }

  std::int64_t count_;
  bool by_sorting_;
  DeviceBuffer result_;
  DeviceContext context_;
  std::vector<DeviceBuffer> x_;
};

template <typename T>
void register_percentiles(const std::string& name, bool by_sorting) {
  register_row({"9 percentiles " + name,
                [](std::int64_t count) {
                  return Traffic{static_cast<std::int64_t>(sizeof(T)) * count, 0};
                },
                [by_sorting](std::int64_t count, int num_sets) {
                  return std::make_unique<Percentiles<T>>(count, num_sets, by_sorting);
                }});
}

const bool kRegistered = [] {
  register_percentiles<bfloat16>("bf16 five at once", false);
  register_percentiles<bfloat16>("bf16 five at once by CUB's sort", true);
  register_percentiles<float>("f32 five at once", false);
  register_percentiles<float>("f32 five at once by CUB's sort", true);
  return true;
}();

}  // namespace
