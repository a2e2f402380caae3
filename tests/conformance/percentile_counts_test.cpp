// Ranks among more elements than any memory holds: the selecting kernel on counts made by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "cuqat/percentile.hpp"
#include "launch.hpp"
#include "percentile.cuh"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/value_of_rank.hpp"

namespace cuqat::test {
namespace {

template <bool kOfMagnitudes>
std::vector<Range> found_ranges(const std::vector<std::uint64_t>& counts,
                                const std::vector<double>& percentiles) {
  gpu::PercentileRequest request{kOfMagnitudes ? OrderBy::kMagnitude : OrderBy::kValue,
                                 static_cast<int>(percentiles.size()),
                                 {}};
  std::copy(percentiles.begin(), percentiles.end(), request.percentile);
  const DeviceMemory device_counts(counts);
  const DeviceMemory result(percentiles.size() * sizeof(Range));
  const gpu::LaunchTarget target{1, 0, device_under_test().stream, nullptr, {}};
  run_on_device([&] {
    gpu::launch(1, gpu::BlockShape{gpu::kSelectionThreads, sizeof(gpu::SelectionStorage)}, target,
                &gpu::select_keys_kernel<bfloat16, kOfMagnitudes>,
                device_counts.as<const unsigned long long>(), request, nullptr, result.as<Range>());
  });
  EXPECT_EQ(device_fault(), "");
  return result.content<Range>();
}

TEST(PercentileCounts, RanksPast32And53Bits) {
  set_device_order(0);
  const std::map<double, std::uint64_t> by_value = {{-3.0, 7},
                                                    {-0.5, (std::uint64_t{1} << 33) + 1},
                                                    {1.0, std::uint64_t{1} << 40},
                                                    {2.0, (std::uint64_t{1} << 54) + 1},
                                                    {3.0, std::uint64_t{1} << 32}};
  std::map<double, std::uint64_t> by_magnitude;
  std::vector<std::uint64_t> counts(kNumKeys);
  std::uint64_t total = 0;
  for (const auto& [value, count] : by_value) {
    by_magnitude[std::abs(value)] += count;
    total += count;
    const Bytes one = to_bytes(DType::kBF16, std::vector<double>{value});
    std::uint16_t key = 0;
    std::memcpy(&key, one.data(), sizeof(key));
    counts[key] = count;
  }
  const auto n = static_cast<std::int64_t>(total);
  const std::vector<double> percentiles = {0.0,  1e-7, 1e-5,  0.005,       0.01,
                                           50.0, 99.9, 99.99, 99.99999999, 100.0};
  const auto of_magnitudes = found_ranges<true>(counts, percentiles);
  const auto of_values = found_ranges<false>(counts, percentiles);
  for (std::size_t i = 0; i < percentiles.size(); ++i) {
    SCOPED_TRACE(percentiles[i]);
    const std::int64_t rank = percentile_rank(n, percentiles[i]);
    EXPECT_EQ(of_magnitudes[i].high, value_of_rank(by_magnitude, rank));
    EXPECT_EQ(of_magnitudes[i].low, -of_magnitudes[i].high);
    const RankPair ranks = two_sided_percentile_ranks(n, percentiles[i]);
    EXPECT_EQ(of_values[i].low, value_of_rank(by_value, ranks.low));
    EXPECT_EQ(of_values[i].high, value_of_rank(by_value, ranks.high));
  }
}

}  // namespace
}  // namespace cuqat::test
