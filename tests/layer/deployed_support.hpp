// Deployed layers to judge, and when two are the same.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "cuqat/layer.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {

/// Each format, granularity and kind of product in each dtype.
inline std::vector<LayerCase> deployed_cases() {
  std::vector<LayerCase> cases;
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const LayerCase& one : integer_cases(product)) {
      const bool original = one.config.weight.rounding == Rounding::kOriginal;
      if (original && one.dtype != DType::kF64) continue;
      if (one.config.activation.format == Format::kInt8) cases.push_back(one);
    }
    for (const LayerCase& one : fp8_cases(product)) cases.push_back(one);
  }
  return cases;
}

inline void expect_same(const QuantParams& found, const QuantParams& expected) {
  EXPECT_EQ(found.quantizer, expected.quantizer);
  EXPECT_EQ(found.granularity, expected.granularity);
  EXPECT_EQ(found.scale, expected.scale);
  EXPECT_EQ(found.zero_point, expected.zero_point);
}

inline void expect_same(const QuantizedLayer& found, const QuantizedLayer& expected) {
  EXPECT_EQ(found.weight.codes, expected.weight.codes);
  EXPECT_EQ(found.weight.layout, expected.weight.layout);
  EXPECT_EQ(found.weight.shape, expected.weight.shape);
  EXPECT_EQ(found.weight.dtype, expected.weight.dtype);
  expect_same(found.weight.params, expected.weight.params);
  expect_same(found.activation, expected.activation);
  EXPECT_EQ(found.bias, expected.bias);
}

}  // namespace cuqat::test
