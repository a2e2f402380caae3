// Row 7: statistics in one read.
#include <cuqat/device_statistics.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

class Reading : public Operation {
 public:
  Reading(std::int64_t count, int num_sets) : count_(count), result_(sizeof(Statistics)) {
    for (int i = 0; i < num_sets; ++i) x_.push_back(normal_matrix(count));
  }

  void run(int set, cudaStream_t stream) const override {
    const ConstDeviceTensorView x(x_[static_cast<std::size_t>(set)].as(), DType::kBF16,
                                  Shape{count_});
    statistics(x, result_.span<Statistics>(), context_, stream);
  }

  [[nodiscard]] std::string difference(int) const override {
    const std::vector<Statistics> expected = {statistics_of_normal_matrix(count_)};
    return bench::difference("the statistics", result_, expected);
  }

  void forget(int) const override { spoil(result_); }

 private:
  std::int64_t count_;
  DeviceBuffer result_;
  DeviceContext context_;
  std::vector<DeviceBuffer> x_;
};

const bool kRegistered = [] {
  register_row({"7 statistics bf16 tensor",
                [](std::int64_t count) {
                  return Traffic{2 * count, 0};
                },
                [](std::int64_t count, int num_sets) {
                  return std::make_unique<Reading>(count, num_sets);
                }});
  return true;
}();

}  // namespace
