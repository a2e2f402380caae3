// Exact order statistics and percentiles, for every dtype, without sorting the tensor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// What order statistics order.
enum class OrderBy : std::uint8_t { kValue, kMagnitude };

/// The elements of the given ranks (0 is the least) among the finite elements of all batches,
/// ordered by value or by magnitude. -0 equals 0; a zero is given as +0.
/// Shape:  one result for each rank, in the order of the ranks.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done. Reads
///         the data once to count the finite elements, then once for each 16 bits of the dtype,
///         whatever the number of ranks.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for a rank outside [0, finite elements), batches of different dtypes.
std::vector<double> order_statistics(std::span<const ConstTensorView> batches, OrderBy order,
                                     std::span<const std::int64_t> ranks,
                                     const HostOptions& options = {});

/// A closed range of values.
struct Range {
  double low = 0.0;
  double high = 0.0;
  friend constexpr bool operator==(Range, Range) = default;
};

/// Rank of the p-th percentile of n magnitudes, nearest rank: ceil(p / 100 * n) - 1, at least 0,
/// computed in f64 as written.
/// @throws InvalidArgument for n < 1 or p outside [0, 100].
std::int64_t percentile_rank(std::int64_t n, double p);

/// Ranks of the two-sided percentile of n values: with f = (100 - p) / 200, floor(n * f) and
/// min(n - 1, ceil(n * (1 - f))), computed in f64 as written (the rule of cuqat::original).
/// @throws InvalidArgument for n < 1 or p outside [0, 100].
struct RankPair {
  std::int64_t low = 0;
  std::int64_t high = 0;
};
RankPair two_sided_percentile_ranks(std::int64_t n, double p);

/// The p-th percentile of |x| over the finite elements, p in [0, 100]; 0 where there are none.
/// Order, Agrees, @throws: as order_statistics.
double magnitude_percentile(ConstTensorView x, double p, const HostOptions& options = {});

/// The two-sided percentile range of x over the finite elements; [0, 0] where there are none.
/// Order, Agrees, @throws: as order_statistics.
Range percentile_range(ConstTensorView x, double p, const HostOptions& options = {});

}  // namespace cuqat
