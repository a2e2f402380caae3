// What tests of the search for an equalization compare.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "cuqat/equalization.hpp"

namespace cuqat::test {

/// NaN too, and the sign of 0.
inline void expect_same_bits(double found, double expected, const char* what) {
  EXPECT_EQ(std::bit_cast<std::uint64_t>(found), std::bit_cast<std::uint64_t>(expected))
      << what << ": " << found << ", expected " << expected;
}
inline void expect_same_bits(const std::vector<double>& found, const std::vector<double>& expected,
                             const char* what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i) expect_same_bits(found[i], expected[i], what);
}

inline void expect_same_bits(const CalibrationResult& found, const CalibrationResult& expected,
                             const char* whose) {
  SCOPED_TRACE(whose);
  EXPECT_EQ(found.options.method, expected.options.method);
  EXPECT_EQ(found.options.format, expected.options.format);
  EXPECT_EQ(found.params.quantizer, expected.params.quantizer);
  EXPECT_EQ(found.params.granularity, expected.params.granularity);
  expect_same_bits(found.params.scale, expected.params.scale, "scale");
  EXPECT_EQ(found.params.zero_point, expected.params.zero_point);
  expect_same_bits(found.low, expected.low, "low");
  expect_same_bits(found.high, expected.high, "high");
  EXPECT_EQ(found.exact, expected.exact);
  expect_same_bits(found.clipped, expected.clipped, "clipped");
  expect_same_bits(found.mse, expected.mse, "mse");
  expect_same_bits(found.sqnr_db, expected.sqnr_db, "sqnr_db");
}

inline void expect_same_bits(const Equalization& found, const Equalization& expected) {
  expect_same_bits(found.alpha, expected.alpha, "alpha");
  expect_same_bits(found.factor, expected.factor, "factor");
  expect_same_bits(found.activation, expected.activation, "activation");
  expect_same_bits(found.weight, expected.weight, "weight");
  expect_same_bits(found.output_error, expected.output_error, "output_error");
  expect_same_bits(found.unequalized_error, expected.unequalized_error, "unequalized_error");
}

}  // namespace cuqat::test
