// Generators and the fixture of the property tests.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conformance/flat.hpp"

namespace cuqat::test {

using Values = std::vector<double>;

/// Cases for each property: RC_PARAMS in CMakeLists.txt.
class Property : public testing::TestWithParam<Table> {
 protected:
  /// A failure prints the case and how to repeat it.
  template <typename Testable>
  static void check(Testable&& testable) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    EXPECT_TRUE(rc::check(test->name(), std::forward<Testable>(testable)));
  }
  static Table table() { return GetParam(); }
};

inline double f32(double value) { return static_cast<double>(static_cast<float>(value)); }

/// Any finite f32: every exponent is as likely as any other.
inline rc::Gen<double> finite_number() {
  return rc::gen::map(rc::gen::inRange<std::int64_t>(0, std::int64_t{0xff00'0000}), [](auto bits) {
    const auto folded = static_cast<std::uint32_t>(bits);
    const std::uint32_t sign = folded & 0x8000'0000u;
    return static_cast<double>(std::bit_cast<float>(sign | (folded & 0x7fff'ffffu) % 0x7f80'0000u));
  });
}

/// Numbers of the size of a few scales.
inline rc::Gen<double> ordinary_number() {
  return rc::gen::map(rc::gen::inRange(-400'000, 400'001),
                      [](int k) { return f32(k * 0.000'731); });
}

inline rc::Gen<double> any_number() {
  return rc::gen::weightedOneOf<double>(
      {{6, ordinary_number()},
       {3, finite_number()},
       {1, rc::gen::element(std::nan(""), double{INFINITY}, double{-INFINITY}, -0.0, 0.0)}});
}

inline Values any_values() { return *rc::gen::container<Values>(any_number()); }
inline Values finite_values() {
  return *rc::gen::nonEmpty(
      rc::gen::container<Values>(rc::gen::oneOf(ordinary_number(), finite_number())));
}

inline double any_scale() {
  return f32(*rc::gen::map(rc::gen::inRange(1, 100'000), [](int k) { return k * 0.000'017; }));
}

inline DType any_dtype() {
  return *rc::gen::element(DType::kF32, DType::kF64, DType::kF16, DType::kBF16);
}

struct Quantization {
  Quantizer quantizer;
  double scale;
  std::int32_t zero_point;
};

inline Quantization any_integer_quantization(Rounding rounding) {
  const Format format = *rc::gen::element(Format::kInt8, Format::kInt4);
  const Quantizer q{
      .format = format, .rounding = rounding, .narrow_range = *rc::gen::arbitrary<bool>()};
  return {q, any_scale(), *rc::gen::inRange(qmin(q), qmax(q) + 1)};
}

inline Quantization any_quantization() {
  if (*rc::gen::arbitrary<bool>()) {
    return any_integer_quantization(*rc::gen::element(Rounding::kNearestEven, Rounding::kOriginal));
  }
  return {{.format = *rc::gen::element(Format::kE4M3, Format::kE5M2)}, any_scale(), 0};
}

inline FakeQuantized fake(Table table, DType dtype, const Quantization& q, const Values& x) {
  return fake_quantize(table, dtype, q.quantizer, q.scale, q.zero_point, x);
}

inline bool same(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

inline bool same(const Values& a, const Values& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double left, double right) { return same(left, right); });
}

/// What storing in the dtype makes of a value.
inline double stored(DType dtype, double value) {
  return to_doubles(dtype, to_bytes(dtype, std::vector{value}))[0];
}

}  // namespace cuqat::test
