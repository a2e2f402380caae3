// Histograms by key and in equal bins.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "reference/number.hpp"
#include "reference/operations.hpp"

namespace cuqat::reference {

namespace {

/// The bin of x among `bins`, whose edges are (i - zero) * amax / per_amax for i = 0, 1, ...: the
/// last one whose lower edge is not above x. x is an f32, so x * per_amax is exact in f64, and fma
/// rounds the exact difference once, which keeps its sign.
std::size_t exact_bin(double x, double amax, std::size_t bins, double zero, double per_amax) {
  std::size_t bin = 0;
  std::size_t end = bins;
  while (end - bin > 1) {
    const std::size_t middle = bin + (end - bin) / 2;
    const double edge = static_cast<double>(middle) - zero;
    (std::fma(-edge, amax, x * per_amax) >= 0.0 ? bin : end) = middle;
  }
  return bin;
}

/// docs/numerics.md, "Bins of a linear histogram", for f64.
std::size_t rounded_bin(double x, double amax, std::size_t bins, BinRange range) {
  const std::size_t zero = range == BinRange::kSigned ? bins / 2 : 0;
  const double quotient = std::fabs(x) / amax;
  const double product = quotient * static_cast<double>(bins - zero);
  if (range == BinRange::kSigned && x < 0.0) {
    return zero - static_cast<std::size_t>(std::max(std::ceil(product), 1.0));
  }
  return std::min(zero + static_cast<std::size_t>(std::floor(product)), bins - 1);
}

}  // namespace

void accumulate_key_histogram(DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
                              int) {
  for (std::int64_t i = 0; i < count; ++i) {
    if (dtype == DType::kF32) {
      std::uint32_t pattern = 0;
      std::memcpy(&pattern, static_cast<const unsigned char*>(x) + i * 4, sizeof(pattern));
      ++counts[pattern / 65'536];
    } else {
      std::uint16_t pattern = 0;
      std::memcpy(&pattern, static_cast<const unsigned char*>(x) + i * 2, sizeof(pattern));
      ++counts[pattern];
    }
  }
}

void accumulate_linear_histogram(DType dtype, std::int64_t count, const void* x, double amax,
                                 BinRange range, std::span<std::uint64_t> counts, int) {
  const std::size_t bins = counts.size();
  const auto zero = static_cast<double>(range == BinRange::kSigned ? bins / 2 : 0);
  const double per_amax = static_cast<double>(bins) - zero;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = load(dtype, x, i);
    if (!(std::fabs(value) <= amax)) continue;
    const double binned = range == BinRange::kMagnitude ? std::fabs(value) : value;
    ++counts[dtype == DType::kF64 ? rounded_bin(binned, amax, bins, range)
                                  : exact_bin(binned, amax, bins, zero, per_amax)];
  }
}

}  // namespace cuqat::reference
