#include "cuqat/percentile.hpp"

#include <algorithm>
#include <array>

#include "cuqat/scalar/percentile_rank.hpp"
#include "cuqat/statistics.hpp"
#include "host/arguments.hpp"
#include "host/enumerators.hpp"
#include "host/operation_table.hpp"

namespace cuqat {

namespace {

void check_rank_arguments(std::int64_t n, double p) {
  if (n < 1) detail::throw_invalid("n", detail::text(n), "at least 1");
  detail::check_percentile("p", p);
}

std::vector<double> checked_order_statistics(std::span<const ConstTensorView> batches,
                                             OrderBy order, std::span<const std::int64_t> ranks,
                                             const HostOptions& options) {
  std::vector<double> result(ranks.size());
  options.backend.operations().order_statistics(batches, order, ranks, result.data(),
                                                cuqat::num_threads(options));
  return result;
}

}  // namespace

std::vector<double> order_statistics(std::span<const ConstTensorView> batches, OrderBy order,
                                     std::span<const std::int64_t> ranks,
                                     const HostOptions& options) {
  cuqat::num_threads(options);
  detail::check_enumerator("order", order, OrderBy::kMagnitude);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::string name = "batches[" + detail::text(i) + "]";
    detail::check_view(name, batches[i]);
    if (batches[i].dtype() != batches.front().dtype()) {
      detail::throw_invalid(
          name + ".dtype()", to_string(batches[i].dtype()),
          "the dtype of batches[0], " + std::string(to_string(batches.front().dtype())));
    }
  }
  if (ranks.empty()) return {};
  std::int64_t finite = 0;
  for (const ConstTensorView& batch : batches) finite += statistics(batch, options).finite();
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i] >= 0 && ranks[i] < finite) continue;
    detail::throw_invalid("ranks[" + detail::text(i) + "]", detail::text(ranks[i]),
                          "in [0, " + detail::text(finite) + "), the number of finite elements");
  }
  return checked_order_statistics(batches, order, ranks, options);
}

std::int64_t percentile_rank(std::int64_t n, double p) {
  check_rank_arguments(n, p);
  return scalar::percentile_rank(n, p);
}

RankPair two_sided_percentile_ranks(std::int64_t n, double p) {
  check_rank_arguments(n, p);
  return {scalar::low_percentile_rank(n, p), scalar::high_percentile_rank(n, p)};
}

double magnitude_percentile(ConstTensorView x, double p, const HostOptions& options) {
  detail::check_percentile("p", p);
  const std::int64_t finite = statistics(x, options).finite();
  if (finite == 0) return 0.0;
  const std::array ranks{percentile_rank(finite, p)};
  return checked_order_statistics({&x, 1}, OrderBy::kMagnitude, ranks, options).front();
}

Range percentile_range(ConstTensorView x, double p, const HostOptions& options) {
  detail::check_percentile("p", p);
  const std::int64_t finite = statistics(x, options).finite();
  if (finite == 0) return {};
  const RankPair pair = two_sided_percentile_ranks(finite, p);
  const std::array ranks{pair.low, pair.high};
  const std::vector<double> ends =
      checked_order_statistics({&x, 1}, OrderBy::kValue, ranks, options);
  return {ends[0], ends[1]};
}

}  // namespace cuqat
