// Rows 8 and 11: key histograms of easy and of hard data, and a whole calibration.
#include <cuqat/device_calibration.hpp>
#include <cuqat/device_histogram.hpp>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cub_histogram.hpp"
#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

using Period = std::vector<bfloat16>;

/// The normal numbers with `change` made to each pattern.
template <typename Change>
Period changed(const Change& change) {
  Period period = normal_period();
  for (bfloat16& element : period) element = {change(element.bits)};
  return period;
}

Period relu() {
  return changed([](std::uint16_t bits) -> std::uint16_t { return bits >> 15 != 0 ? 0 : bits; });
}
Period constant() {
  return changed([](std::uint16_t) -> std::uint16_t { return 0x3f80; });
}
/// 1 and -0.5 at random: by the lowest bit of the significand.
Period two_values() {
  return changed(
      [](std::uint16_t bits) -> std::uint16_t { return bits % 2 != 0 ? 0x3f80 : 0xbf00; });
}

/// Of `count` elements that repeat the period.
std::vector<std::uint64_t> expected_counts(const Period& period, std::int64_t count) {
  const auto length = static_cast<std::int64_t>(period.size());
  const auto count_keys = [&](std::int64_t n) {
    std::vector<std::uint64_t> counts(kNumKeys);
    accumulate_key_histogram(ConstTensorView(period.data(), Shape{n}),
                             std::span<std::uint64_t, kNumKeys>(counts));
    return counts;
  };
  std::vector<std::uint64_t> all = count_keys(count % length);
  const std::vector<std::uint64_t> whole = count_keys(length);
  for (std::size_t key = 0; key < kNumKeys; ++key) {
    all[key] += whole[key] * static_cast<std::uint64_t>(count / length);
  }
  return all;
}

class Counting : public Operation {
 public:
  Counting(Period period, std::int64_t count, int num_sets)
      : period_(std::move(period)),
        count_(count),
        counts_(static_cast<std::int64_t>(kNumKeys * sizeof(std::uint64_t))) {
    for (int i = 0; i < num_sets; ++i) x_.push_back(repeated(period_, count));
  }

  void run(int set, cudaStream_t stream) const override {
    require(
        cudaMemsetAsync(counts_.as(), 0, static_cast<std::size_t>(counts_.size_bytes()), stream));
    const ConstDeviceTensorView x(x_[static_cast<std::size_t>(set)].as(), DType::kBF16,
                                  Shape{count_});
    accumulate_key_histogram(x, {counts_.as<std::uint64_t>(), kNumKeys}, context_, stream);
  }

  [[nodiscard]] std::string difference(int) const override {
    return bench::difference("the counts", counts_, expected_counts(period_, count_));
  }

  void forget(int) const override { spoil(counts_); }

 private:
  Period period_;
  std::int64_t count_;
  DeviceBuffer counts_;
  DeviceContext context_;
  std::vector<DeviceBuffer> x_;
};

/// The same by CUB.
class CountingByCub : public Operation {
 public:
  CountingByCub(std::int64_t count, int num_sets)
      : count_(count),
        counts_(static_cast<std::int64_t>(kNumKeys * sizeof(std::uint32_t))),
        temporary_(static_cast<std::int64_t>(cub_histogram_bytes(count))) {
    for (int i = 0; i < num_sets; ++i) x_.push_back(normal_matrix(count));
  }

  void run(int set, cudaStream_t stream) const override {
    launch_cub_histogram(x_[static_cast<std::size_t>(set)].as<std::uint16_t>(), count_,
                         counts_.as<std::uint32_t>(), temporary_.as(),
                         static_cast<std::size_t>(temporary_.size_bytes()), stream);
  }

  [[nodiscard]] std::string difference(int) const override {
    const std::vector<std::uint64_t> counts = expected_counts(normal_period(), count_);
    return bench::difference("the counts", counts_,
                             std::vector<std::uint32_t>(counts.begin(), counts.end()));
  }

  void forget(int) const override { spoil(counts_); }

 private:
  std::int64_t count_;
  DeviceBuffer counts_;
  DeviceBuffer temporary_;
  std::vector<DeviceBuffer> x_;
};

/// One batch observed, and the scale of a method.
class Calibrating : public Operation {
 public:
  Calibrating(CalibMethod method, std::int64_t count, int num_sets)
      : method_{.method = method},
        count_(count),
        scale_(std::vector<float>{-1.0f}),
        collector_(DType::kBF16, context_) {
    for (int i = 0; i < num_sets; ++i) x_.push_back(normal_matrix(count));
  }

  void run(int set, cudaStream_t stream) const override {
    collector_.reset(context_, stream);
    collector_.observe({x_[static_cast<std::size_t>(set)].as(), DType::kBF16, Shape{count_}},
                       context_, stream);
    collector_.compute(method_, {{scale_.as<float>(), Shape{1}}, {}}, context_, stream);
  }

  [[nodiscard]] std::string difference(int) const override {
    const std::vector<std::uint64_t> counts = expected_counts(normal_period(), count_);
    const auto host = CalibrationCollector::of_key_histogram(
        DType::kBF16, std::span<const std::uint64_t, kNumKeys>(counts));
    const std::vector<float> expected = {static_cast<float>(host.compute(method_).params.scale[0])};
    return bench::difference("the scale", scale_, expected);
  }

  void forget(int) const override { spoil(scale_); }

 private:
  CalibrationOptions method_;
  std::int64_t count_;
  DeviceBuffer scale_;
  DeviceContext context_;
  mutable DeviceCalibrationCollector collector_;
  std::vector<DeviceBuffer> x_;
};

Traffic one_read(std::int64_t count) { return {kElementBytes * count, 0}; }

const bool kRegistered = [] {
  const std::pair<const char*, Period (*)()> kinds[] = {{"normal", [] { return normal_period(); }},
                                                        {"ReLU", relu},
                                                        {"constant", constant},
                                                        {"two values", two_values}};
  for (const auto& kind : kinds) {
    register_row({std::string("8 key histogram bf16 ") + kind.first, one_read,
                  [make = kind.second](std::int64_t count, int num_sets) {
                    return std::make_unique<Counting>(make(), count, num_sets);
                  }});
  }
  register_row({"8 key histogram bf16 normal by cub::DeviceHistogram", one_read,
                [](std::int64_t count, int num_sets) {
                  return std::make_unique<CountingByCub>(count, num_sets);
                }});
  for (const CalibMethod method : {CalibMethod::kEntropy, CalibMethod::kMse}) {
    register_row({"11 calibration bf16 " + std::string(to_string(method)), one_read,
                  [method](std::int64_t count, int num_sets) {
                    return std::make_unique<Calibrating>(method, count, num_sets);
                  }});
  }
  return true;
}();

}  // namespace
