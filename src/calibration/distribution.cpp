#include "calibration/distribution.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/histogram_key.hpp"

namespace cuqat::calibration {
namespace {

/// Runs of equal numbers in ascending order become values with counts.
template <typename Number, typename ToValue>
Distribution count_runs(std::span<const Number> sorted, ToValue to_value) {
  std::size_t num_distinct = sorted.empty() ? 0 : 1;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    num_distinct += static_cast<std::size_t>(sorted[i] != sorted[i - 1]);
  }
  Distribution result;
  result.values.reserve(num_distinct);
  result.counts.reserve(num_distinct);
  for (std::size_t begin = 0; begin < sorted.size();) {
    std::size_t end = begin + 1;
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    result.values.push_back(to_value(sorted[begin]));
    result.counts.push_back(end - begin);
    begin = end;
  }
  return result;
}

/// Least significant digit first, 11 bits a pass: three passes over 32-bit keys.
void radix_sort(std::vector<std::uint32_t>& keys, std::vector<std::uint32_t>& scratch) {
  constexpr int kDigitBits = 11;
  constexpr std::uint32_t kNumDigits = 1u << kDigitBits;
  constexpr std::array kShifts = {0, 11, 22};
  std::array<std::array<std::size_t, kNumDigits>, kShifts.size()> offsets{};
  for (const std::uint32_t key : keys) {
    for (std::size_t pass = 0; pass < kShifts.size(); ++pass) {
      ++offsets[pass][(key >> kShifts[pass]) % kNumDigits];
    }
  }
  scratch.resize(keys.size());
  for (std::size_t pass = 0; pass < kShifts.size(); ++pass) {
    std::size_t sum = 0;
    for (std::size_t& offset : offsets[pass]) sum += std::exchange(offset, sum);
    for (const std::uint32_t key : keys) {
      scratch[offsets[pass][(key >> kShifts[pass]) % kNumDigits]++] = key;
    }
    keys.swap(scratch);
  }
}

template <typename T>
T load(ConstTensorView x, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const std::byte*>(x.data()) + index * std::int64_t{sizeof(T)},
              sizeof(T));
  return value;
}

template <typename T, typename Number>
void append_finite_as(ConstTensorView x, std::int64_t begin, std::int64_t count,
                      std::vector<Number>& numbers) {
  for (std::int64_t i = begin; i < begin + count; ++i) {
    const Number value = static_cast<Number>(scalar::load_compute(load<T>(x, i)));
    if (scalar::is_finite(value)) numbers.push_back(value + Number{0});  // -0 + 0 is +0
  }
}

}  // namespace

std::uint64_t Distribution::total() const noexcept {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts) sum += count;
  return sum;
}

Distribution distribution_of(std::vector<float>& numbers) {
  // Ordered keys sort as unsigned integers.
  std::vector<std::uint32_t> keys(numbers.size());
  std::vector<std::uint32_t> scratch;
  std::transform(numbers.begin(), numbers.end(), keys.begin(),
                 [](float value) { return scalar::ordered_key(scalar::to_bits(value)); });
  numbers.clear();
  radix_sort(keys, scratch);
  return count_runs(std::span<const std::uint32_t>(keys), [](std::uint32_t key) {
    return static_cast<double>(scalar::from_bits(scalar::pattern_of_ordered_key(key)));
  });
}

Distribution distribution_of(std::vector<double>& numbers) {
  std::sort(numbers.begin(), numbers.end());
  Distribution result =
      count_runs(std::span<const double>(numbers), [](double value) { return value; });
  numbers.clear();
  return result;
}

Distribution merged(const Distribution& a, const Distribution& b) {
  if (a.size() == 0) return b;
  if (b.size() == 0) return a;
  Distribution result;
  result.values.reserve(a.size() + b.size());
  result.counts.reserve(a.size() + b.size());
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const bool take_a = j == b.size() || (i < a.size() && a.values[i] <= b.values[j]);
    const bool take_b = i == a.size() || (j < b.size() && b.values[j] <= a.values[i]);
    result.values.push_back(take_a ? a.values[i] : b.values[j]);
    std::uint64_t count = 0;
    if (take_a) count += a.counts[i++];
    if (take_b) count += b.counts[j++];
    result.counts.push_back(count);
  }
  return result;
}

Distribution folded(const Distribution& signed_values) {
  const std::vector<double>& values = signed_values.values;
  const std::vector<std::uint64_t>& counts = signed_values.counts;
  Distribution result;
  result.values.reserve(values.size());
  result.counts.reserve(values.size());
  // From zero outwards on both sides.
  auto up = static_cast<std::size_t>(std::lower_bound(values.begin(), values.end(), 0.0) -
                                     values.begin());
  std::size_t down = up;
  while (up < values.size() || down > 0) {
    const bool take_up = down == 0 || (up < values.size() && values[up] <= -values[down - 1]);
    const bool take_down = up == values.size() || (down > 0 && -values[down - 1] <= values[up]);
    result.values.push_back(take_up ? values[up] : -values[down - 1]);
    std::uint64_t count = 0;
    if (take_up) count += counts[up++];
    if (take_down) count += counts[--down];
    result.counts.push_back(count);
  }
  return result;
}

Distribution distribution_of_keys(std::span<const std::uint64_t, kNumKeys> counts, DType dtype) {
  Distribution result;
  for (std::uint32_t key = 0; key < kNumKeys; ++key) {
    const auto pattern = scalar::pattern_of_ordered_key(static_cast<std::uint16_t>(key));
    const std::uint64_t count = counts[pattern];
    if (count == 0) continue;
    const float value = dtype == DType::kBF16 ? scalar::to_f32(bfloat16{pattern})
                                              : scalar::to_f32(float16{pattern});
    if (!scalar::is_finite(value)) continue;
    if (value == 0.0f && !result.values.empty() && result.values.back() == 0.0) {
      result.counts.back() += count;  // -0 came just before +0
      continue;
    }
    result.values.push_back(static_cast<double>(value + 0.0f));
    result.counts.push_back(count);
  }
  return result;
}

Statistics statistics_of_keys(std::span<const std::uint64_t, kNumKeys> counts, DType dtype) {
  Statistics result;
  for (std::uint32_t pattern = 0; pattern < kNumKeys; ++pattern) {
    const auto count = static_cast<std::int64_t>(counts[pattern]);
    if (count == 0) continue;
    const auto bits = static_cast<std::uint16_t>(pattern);
    const auto value = static_cast<double>(dtype == DType::kBF16 ? scalar::to_f32(bfloat16{bits})
                                                                 : scalar::to_f32(float16{bits}));
    result.count += count;
    if (scalar::is_nan(value)) {
      result.nan += count;
    } else if (!scalar::is_finite(value)) {
      (value > 0.0 ? result.pos_inf : result.neg_inf) += count;
    } else {
      if (value == 0.0) result.zeros += count;
      result.min = std::min(result.min, value + 0.0);
      result.max = std::max(result.max, value + 0.0);
    }
  }
  return result;
}

Distribution coarsened_f32_keys(std::span<const std::uint64_t, kNumKeys> counts) {
  Distribution result;
  for (std::uint32_t key = 0; key < kNumKeys; ++key) {
    const std::uint32_t pattern = scalar::pattern_of_ordered_key(static_cast<std::uint16_t>(key));
    const float lowest = scalar::from_bits(pattern << 16);
    if (counts[pattern] == 0 || !scalar::is_finite(lowest)) continue;
    const double value = coarsened(static_cast<double>(lowest), DType::kF32);
    if (!result.values.empty() && result.values.back() == value) {
      result.counts.back() += counts[pattern];  // the keys of -0 and +0
      continue;
    }
    result.values.push_back(value);
    result.counts.push_back(counts[pattern]);
  }
  return result;
}

double coarsened(double value, DType dtype) noexcept {
  if (value == 0.0) return 0.0;
  if (dtype == DType::kF32) {
    return static_cast<double>(
        scalar::middle_of_f32_key(scalar::histogram_key(static_cast<float>(value))));
  }
  if (dtype == DType::kF64) {
    constexpr int kDropped = 44;
    const std::uint64_t bits = scalar::to_bits(value);
    return scalar::from_bits(((bits >> kDropped) << kDropped) |
                             (std::uint64_t{1} << (kDropped - 1)));
  }
  return value;
}

Distribution coarsened(const Distribution& fine, DType dtype) {
  Distribution result;
  for (std::size_t i = 0; i < fine.size(); ++i) {
    const double value = coarsened(fine.values[i], dtype);
    if (result.values.empty() || result.values.back() != value) {
      result.values.push_back(value);
      result.counts.push_back(0);
    }
    result.counts.back() += fine.counts[i];
  }
  return result;
}

void append_finite(ConstTensorView x, std::int64_t begin, std::int64_t count,
                   std::vector<float>& numbers) {
  switch (x.dtype()) {
    case DType::kF32:
      return append_finite_as<float>(x, begin, count, numbers);
    case DType::kF16:
      return append_finite_as<float16>(x, begin, count, numbers);
    case DType::kBF16:
      return append_finite_as<bfloat16>(x, begin, count, numbers);
    case DType::kF64:
      break;  // f64 has its own overload: f32 would round it
  }
}

void append_finite(ConstTensorView x, std::int64_t begin, std::int64_t count,
                   std::vector<double>& numbers) {
  append_finite_as<double>(x, begin, count, numbers);
}

}  // namespace cuqat::calibration
