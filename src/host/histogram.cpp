#include "cuqat/histogram.hpp"

#include <cmath>

#include "host/arguments.hpp"
#include "host/enumerators.hpp"
#include "host/operation_table.hpp"

namespace cuqat {

void accumulate_key_histogram(ConstTensorView x, std::span<std::uint64_t, kNumKeys> counts,
                              const HostOptions& options) {
  const int num_threads = cuqat::num_threads(options);
  detail::check_view("x", x);
  if (x.dtype() == DType::kF64) {
    detail::throw_invalid("x.dtype()", to_string(x.dtype()), "F32, F16 or BF16");
  }
  detail::check_disjoint({"counts", counts}, {"x", x});
  options.backend.operations().accumulate_key_histogram(x.dtype(), x.count(), x.data(),
                                                        counts.data(), num_threads);
}

void accumulate_linear_histogram(ConstTensorView x, double amax, BinRange range,
                                 std::span<std::uint64_t> counts, const HostOptions& options) {
  constexpr std::size_t kMaxBins = std::size_t{1} << 24;
  const int num_threads = cuqat::num_threads(options);
  detail::check_view("x", x);
  if (!std::isfinite(amax) || !(amax > 0.0)) {
    detail::throw_invalid("amax", detail::text(amax), "positive and finite");
  }
  if (counts.empty() || counts.size() > kMaxBins) {
    detail::throw_invalid("counts.size()", detail::text(counts.size()),
                          "in [1, " + detail::text(kMaxBins) + "]");
  }
  detail::check_enumerator("range", range, BinRange::kSigned);
  if (range == BinRange::kSigned && counts.size() % 2 != 0) {
    detail::throw_invalid("counts.size()", detail::text(counts.size()), "even for kSigned");
  }
  detail::check_disjoint({"counts", counts}, {"x", x});
  options.backend.operations().accumulate_linear_histogram(x.dtype(), x.count(), x.data(), amax,
                                                           range, counts, num_threads);
}

}  // namespace cuqat
