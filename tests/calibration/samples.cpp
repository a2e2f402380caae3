#include "calibration/samples.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

namespace cuqat::test {
namespace {

/// To nearest even with `digits` bits after the leading one.
double rounded(double value, int digits, int least_exponent) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least_exponent) - digits;
  return std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
}

std::uint16_t f16_bits(double value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (std::isnan(value)) return 0x7e00;
  const double magnitude = std::abs(rounded(value, 10, -14));
  if (magnitude > 65504.0) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (magnitude < 0x1p-14)
    return static_cast<std::uint16_t>(sign | std::lround(magnitude * 0x1p24));
  const int exponent = std::ilogb(magnitude);
  const long fraction = std::lround(std::ldexp(magnitude, 10 - exponent)) - 1024;
  return static_cast<std::uint16_t>(sign | ((exponent + 15) << 10) | static_cast<int>(fraction));
}

double f16_value(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  double magnitude = 0.0;
  if (exponent == 31) {
    magnitude = fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                              : std::numeric_limits<double>::infinity();
  } else {
    magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t bf16_bits(double value) {
  // Past the largest the conversion to float gives an infinity of the right sign.
  const auto number = static_cast<float>(rounded(value, 7, -126));
  return std::isnan(value) ? std::uint16_t{0x7fc0}
                           : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(number) >> 16);
}

double bf16_value(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

template <typename T, typename Convert>
void append(std::vector<std::byte>& bytes, double value, Convert convert) {
  const T element = convert(value);
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof(element));
}

template <typename T>
T element_at(std::span<const std::byte> bytes, std::size_t index) {
  T element;
  std::memcpy(&element, bytes.data() + index * sizeof(T), sizeof(T));
  return element;
}

double value_at(DType dtype, std::span<const std::byte> bytes, std::size_t index) {
  switch (dtype) {
    case DType::kF32:
      return element_at<float>(bytes, index);
    case DType::kF64:
      return element_at<double>(bytes, index);
    case DType::kF16:
      return f16_value(element_at<std::uint16_t>(bytes, index));
    case DType::kBF16:
      return bf16_value(element_at<std::uint16_t>(bytes, index));
  }
  throw std::logic_error("no such dtype");
}

template <typename Draw>
Sample drawn(const char* name, std::size_t count, std::uint64_t seed, Draw draw) {
  Sample sample{name, std::vector<double>(count)};
  Random random(seed);
  std::generate(sample.values.begin(), sample.values.end(), [&] { return draw(random); });
  return sample;
}

}  // namespace

Numbers::Numbers(DType dtype, std::span<const double> values) : dtype_(dtype) {
  bytes_.reserve(values.size() * dtype_bytes(dtype));
  for (const double value : values) {
    switch (dtype) {
      case DType::kF32:
        append<float>(bytes_, value, [](double x) { return static_cast<float>(x); });
        break;
      case DType::kF64:
        append<double>(bytes_, value, [](double x) { return x; });
        break;
      case DType::kF16:
        append<std::uint16_t>(bytes_, value, f16_bits);
        break;
      case DType::kBF16:
        append<std::uint16_t>(bytes_, value, bf16_bits);
        break;
    }
  }
  *this = from_bytes(dtype, std::vector<std::byte>(std::move(bytes_)));
}

Numbers Numbers::from_bytes(DType dtype, std::span<const std::byte> bytes) {
  Numbers numbers(dtype);
  numbers.bytes_.assign(bytes.begin(), bytes.end());
  numbers.values_.resize(bytes.size() / dtype_bytes(dtype));
  for (std::size_t i = 0; i < numbers.values_.size(); ++i) {
    numbers.values_[i] = value_at(dtype, bytes, i);
  }
  return numbers;
}

ConstTensorView Numbers::view() const { return part(0, size()); }

ConstTensorView Numbers::view(const Shape& shape) const {
  if (shape.count() != static_cast<std::int64_t>(size())) {
    throw std::logic_error("the shape does not fit the numbers");
  }
  return {static_cast<const void*>(bytes_.data()), dtype_, shape};
}

ConstTensorView Numbers::part(std::size_t begin, std::size_t end) const {
  if (begin > end || end > size()) throw std::logic_error("no such part");
  return {static_cast<const void*>(bytes_.data() + begin * dtype_bytes(dtype_)), dtype_,
          Shape{static_cast<std::int64_t>(end - begin)}};
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::vector<double> normal_sample(std::size_t count, std::uint64_t seed, double deviation) {
  return drawn("", count, seed, [=](Random& r) { return deviation * r.normal(); }).values;
}

std::vector<double> heavy_tailed_sample(std::size_t count, std::uint64_t seed) {
  return drawn("", count, seed,
               [](Random& r) { return r.normal() / std::sqrt(-std::log(r.uniform())); })
      .values;
}

std::vector<Sample> all_samples(DType dtype, std::size_t count) {
  const auto normal = [](Random& r) { return r.normal(); };
  std::vector<Sample> samples{
      drawn("normal", count, 1, normal),
      drawn("laplace", count, 2,
            [](Random& r) { return std::log(r.uniform()) * (r.uniform() < 0.5 ? 0.7 : -0.7); }),
      {"heavy_tailed", heavy_tailed_sample(count, 3)},
      drawn("uniform", count, 4, [](Random& r) { return 6.0 * r.uniform() - 3.0; }),
      drawn("relu", count, 5, [](Random& r) { return std::max(r.normal(), 0.0); }),
      drawn("gelu", count, 6,
            [](Random& r) {
              const double x = 2.0 * r.normal();
              return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
            }),
      drawn("negative", count, 7, [](Random& r) { return -2.0 - std::abs(r.normal()); }),
      drawn("far_from_zero", count, 8, [](Random& r) { return 1000.0 + 5.0 * r.normal(); }),
      drawn("two_values", count, 9, [](Random& r) { return r.uniform() < 0.9 ? -0.3 : 1.7; }),
      drawn("constant", count, 10, [](Random&) { return 3.7; }),
      drawn("one_outlier_in_500", count, 11,
            [](Random& r) { return r.normal() * (r.below(500) == 0 ? 60.0 : 1.0); }),
      drawn("whole_numbers", count, 12, [](Random& r) { return std::rint(20.0 * r.normal()); }),
  };
  if (dtype == DType::kF16) {
    samples.push_back(
        drawn("huge", count, 13, [](Random& r) { return 131e3 * r.uniform() - 65500; }));
    samples.push_back(drawn("subnormal", count, 14, [](Random& r) { return 1e-6 * r.normal(); }));
    return samples;
  }
  samples.push_back(
      drawn("huge", count, 13, [](Random& r) { return 3e38 * (2.0 * r.uniform() - 1.0); }));
  samples.push_back(drawn("tiny", count, 14, [](Random& r) { return 1e-35 * r.normal(); }));
  samples.push_back(drawn("subnormal", count, 15, [](Random& r) { return 3e-39 * r.normal(); }));
  if (dtype == DType::kF64) {
    samples.push_back(drawn("f64_huge", count, 16, [](Random& r) { return 1e300 * r.normal(); }));
    samples.push_back(
        drawn("f64_subnormal", count, 18, [](Random& r) { return 2e-309 * r.normal(); }));
    samples.push_back(drawn("f64_tiny", count, 17, [](Random& r) { return 1e-300 * r.normal(); }));
  }
  return samples;
}

std::vector<double> finite(std::span<const double> values) {
  std::vector<double> result;
  std::copy_if(values.begin(), values.end(), std::back_inserter(result),
               [](double x) { return std::isfinite(x); });
  return result;
}

double amax_of(std::span<const double> values) {
  double amax = 0.0;
  for (const double x : values) {
    if (std::isfinite(x)) amax = std::max(amax, std::abs(x));
  }
  return amax;
}

}  // namespace cuqat::test
