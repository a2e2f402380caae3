// The rounds of the fixed-order sum, on sums of tensors that need not exist: a launcher of the
// library's own, which only the executor's program can call.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "conformance/cases.hpp"
#include "cuqat/fake_quant.hpp"
#include "launchers.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kChunk = 4096;

/// The fixed-order sum, from the reference's gradient of a zero point: with s = 1 and a gradient
/// scale of -1 it is the sum of dy where all x are clipped.
double fixed_order_sum(const std::vector<double>& values) {
  const std::vector<double> x(values.size(), 1e9);
  std::vector<double> dx(values.size());
  double dscale = 0.0;
  double dzero_point = 0.0;
  learned_scale_backward(values, x, QuantParams{}, dx, {{&dscale, 1}, {&dzero_point, 1}}, -1.0,
                         {Backend::named("reference"), 1});
  return dzero_point;
}

struct Sums {
  double scale;
  double zero_point;
};

/// The rounds over given sums of chunks, on tensors that need not exist. A scale of 1, and of 1
/// what the sums are multiplied with.
class SumRounds {
 public:
  SumRounds(const Shape& shape, const Granularity& granularity)
      : tensor_{DType::kF64, shape,  granularity, {}, num_scales(granularity, shape),
                nullptr,     nullptr},
        ones_(std::vector<double>(scales(), 1.0)),
        dscale_(std::vector<double>(scales(), -1.0)),
        dzero_point_(std::vector<double>(scales(), -1.0)) {
    tensor_.scale = ones_.as();
  }

  /// sums: all of a scale's, one scale after the other, as many as the longest has.
  void run(const std::vector<Sums>& sums) {
    const std::size_t bytes = gpu::learned_scale_workspace_bytes(tensor_);
    ASSERT_GE(bytes, kSumsFrom + sums.size() * sizeof(Sums));
    const DeviceMemory workspace(std::vector<std::byte>(bytes, std::byte{0xee}));
    ASSERT_EQ(cudaMemcpy(workspace.as() + kSumsFrom, sums.data(), sums.size() * sizeof(Sums),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    const cudaStream_t stream = device_under_test().stream;
    gpu::launch_sum_rounds(tensor_, {dscale_.as(), dzero_point_.as(), 1.0},
                           {4, 0, stream, workspace.as(), std::source_location::current()});
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess) << device_fault();
  }

  [[nodiscard]] std::vector<double> dscale() const { return dscale_.content<double>(); }
  [[nodiscard]] std::vector<double> dzero_point() const { return dzero_point_.content<double>(); }

 private:
  static constexpr std::size_t kSumsFrom = 256;

  [[nodiscard]] std::size_t scales() const { return static_cast<std::size_t>(tensor_.num_scales); }

  gpu::DeviceScaledTensor tensor_;
  DeviceMemory ones_;
  DeviceMemory dscale_;
  DeviceMemory dzero_point_;
};

/// As the tensor has them, scale by scale; those past a scale's last are what nothing may read.
std::vector<Sums> random_sums(const std::vector<std::int64_t>& sums_of_scale) {
  const std::int64_t most = *std::ranges::max_element(sums_of_scale);
  Random random(3);
  std::vector<Sums> result;
  for (const std::int64_t count : sums_of_scale) {
    for (std::int64_t i = 0; i < most; ++i) {
      const bool exists = i < count;
      result.push_back({exists ? random.normal() * 1e3 : std::nan(""),
                        exists ? random.normal() * 1e-3 : std::nan("")});
    }
  }
  return result;
}

void expect_fixed_order(const Shape& shape, const Granularity& granularity,
                        const std::vector<std::int64_t>& sums_of_scale) {
  const std::vector<Sums> sums = random_sums(sums_of_scale);
  std::vector<double> expected_dscale;
  std::vector<double> expected_dzero_point;
  for (std::size_t scale = 0; scale < sums_of_scale.size(); ++scale) {
    std::vector<double> of_scale;
    std::vector<double> of_zero_point;
    for (std::int64_t i = 0; i < sums_of_scale[scale]; ++i) {
      const Sums& sum =
          sums[scale * (sums.size() / sums_of_scale.size()) + static_cast<std::size_t>(i)];
      of_scale.push_back(sum.scale);
      of_zero_point.push_back(sum.zero_point);
    }
    expected_dscale.push_back(fixed_order_sum(of_scale));
    expected_dzero_point.push_back(-fixed_order_sum(of_zero_point));
  }
  SumRounds rounds(shape, granularity);
  for (const int order : {0, num_device_orders() - 2}) {
    set_device_order(order);
    rounds.run(sums);
    EXPECT_EQ(rounds.dscale(), expected_dscale);
    EXPECT_EQ(rounds.dzero_point(), expected_dzero_point);
  }
  set_device_order(0);
}

TEST(DeviceSumRounds, AddInTheDefinedOrder) {
  expect_fixed_order({2 * kChunk}, Granularity::tensor(), {2});
  expect_fixed_order({33 * kChunk - 5}, Granularity::tensor(), {33});
  expect_fixed_order({kChunk * kChunk}, Granularity::tensor(), {kChunk});
  expect_fixed_order({kChunk * kChunk + 1}, Granularity::tensor(), {kChunk + 1});
  expect_fixed_order({(3 * kChunk + 7) * kChunk}, Granularity::tensor(), {3 * kChunk + 7});
}

TEST(DeviceSumRounds, AddEachScaleApart) {
  const std::int64_t row = (2 * kChunk + 5) * kChunk - 7;
  expect_fixed_order({3, row}, Granularity::channel(0),
                     {2 * kChunk + 5, 2 * kChunk + 5, 2 * kChunk + 5});
  // A row's last group is shorter than the others: 5 elements, and some more than 4 096 * 4 096.
  const std::int64_t group = (kChunk + 2) * kChunk + 1;
  expect_fixed_order({2, group + 5}, Granularity::group(group), {kChunk + 3, 1, kChunk + 3, 1});
  expect_fixed_order({2, group + kChunk * kChunk + 1}, Granularity::group(group),
                     {kChunk + 3, kChunk + 1, kChunk + 3, kChunk + 1});
}

/// More than 2^36 elements, whose third round reads what the second wrote. All sums are exact, so
/// that the order is of no account here.
TEST(DeviceSumRounds, AddInAsManyRoundsAsItTakes) {
  const std::int64_t num_sums = kChunk * kChunk + 3;
  SumRounds rounds({num_sums * kChunk}, Granularity::tensor());
  std::vector<Sums> sums(static_cast<std::size_t>(num_sums));
  double total = 0.0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] = {static_cast<double>(i), -2.0};
    total += sums[i].scale;
  }
  rounds.run(sums);
  EXPECT_EQ(rounds.dscale().front(), total);
  EXPECT_EQ(rounds.dzero_point().front(), 2.0 * static_cast<double>(num_sums));
}

}  // namespace
}  // namespace cuqat::test
