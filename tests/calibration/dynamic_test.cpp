// Dynamic quantization: scales and elements against the definitions, for every granularity.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "host/expect_invalid.hpp"
#include "support/elements.hpp"

namespace cuqat::test {
namespace {

struct Case {
  DType dtype;
  Shape shape;
  DynamicQuantization how;
};

/// The scale of an element, from the definition of a granularity.
std::size_t scale_index(const Shape& shape, const Granularity& granularity, std::size_t element) {
  const auto i = static_cast<std::int64_t>(element);
  const std::int64_t last = shape[shape.rank() - 1];
  switch (granularity.kind) {
    case Granularity::Kind::kTensor:
      return 0;
    case Granularity::Kind::kChannel: {
      std::int64_t inner = 1;
      const int axis = granularity.axis < 0 ? granularity.axis + shape.rank() : granularity.axis;
      for (int later = axis + 1; later < shape.rank(); ++later) inner *= shape[later];
      return static_cast<std::size_t>(i / inner % shape[axis]);
    }
    case Granularity::Kind::kGroup: {
      const std::int64_t groups = (last - 1) / granularity.group_size + 1;
      return static_cast<std::size_t>(i / last * groups + i % last / granularity.group_size);
    }
  }
  return 0;
}

/// Extremes of the finite elements of each scale, [0, 0] where there are none.
std::vector<Range> ranges_of(const std::vector<double>& x, const Case& c) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<Range> ranges(static_cast<std::size_t>(num_scales(c.how.granularity, c.shape)),
                            {kInfinity, -kInfinity});
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i])) continue;
    Range& range = ranges[scale_index(c.shape, c.how.granularity, i)];
    range = {std::min(range.low, x[i]), std::max(range.high, x[i])};
  }
  for (Range& range : ranges) {
    if (range.low > range.high) range = {};
  }
  return ranges;
}

void expect_defined(const std::vector<double>& values, const Case& c, const Backend& backend) {
  SCOPED_TRACE(testing::Message() << to_string(c.dtype) << ' ' << to_string(c.how.quantizer.format)
                                  << (c.how.symmetric ? " symmetric" : " affine") << ", "
                                  << values.size() << " elements");
  const HostOptions options{backend, 2};
  const Numbers x(c.dtype, values);
  std::vector<std::uint8_t> codes(values.size());
  const QuantParams params =
      quantize_dynamic(x.view(c.shape), c.how, codes, CodeLayout::kBytes, options);
  EXPECT_EQ(params.quantizer, c.how.quantizer);
  EXPECT_EQ(params.granularity, c.how.granularity);
  const std::vector<Range> ranges = ranges_of(x.values(), c);
  ASSERT_EQ(params.scale.size(), ranges.size());
  ASSERT_EQ(params.zero_point.size(), ranges.size());
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const ScaleZeroPoint expected =
        oracle_scale(ranges[i], c.how.quantizer, c.how.symmetric, c.dtype);
    EXPECT_EQ(params.scale[i], expected.scale) << "scale " << i;
    EXPECT_EQ(params.zero_point[i], expected.zero_point) << "scale " << i;
  }
  Bytes y(values.size() * dtype_bytes(c.dtype));
  const TensorView y_view(static_cast<void*>(y.data()), c.dtype, c.shape);
  const QuantParams same = fake_quantize_dynamic(x.view(c.shape), c.how, y_view, options);
  EXPECT_EQ(same.scale, params.scale);
  EXPECT_EQ(same.zero_point, params.zero_point);
  Bytes dequantized(y.size());
  dequantize(codes, params, TensorView(static_cast<void*>(dequantized.data()), c.dtype, c.shape));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t scale = scale_index(c.shape, c.how.granularity, i);
    const OracleElement element = oracle_fake_quantize(
        x.values()[i], c.how.quantizer, {params.scale[scale], params.zero_point[scale]}, c.dtype);
    Bytes expected(dtype_bytes(c.dtype));
    store_element(c.dtype, expected.data(), 0, element.y);
    const double stored = load_element(c.dtype, expected.data(), 0);
    const double found = load_element(c.dtype, y.data(), i);
    EXPECT_TRUE(found == stored || (std::isnan(found) && std::isnan(stored)))
        << "element " << i << ": " << found << " instead of " << stored;
    if (!std::isnan(x.values()[i])) {
      EXPECT_EQ(load_element(c.dtype, dequantized.data(), i), found) << "element " << i;
    }
  }
}

TEST(DynamicQuantization, IsMinMaxOfWhatSharesAScale) {
  const Shape shape{6, 5, 11};
  for (const DType dtype : kAllDTypes) {
    for (const Sample& sample : all_samples(dtype, static_cast<std::size_t>(shape.count()))) {
      for (const Format format : kAllFormats) {
        for (const bool symmetric : {true, false}) {
          if (!symmetric && !is_integer(format)) continue;
          for (const Granularity& granularity :
               {Granularity::tensor(), Granularity::channel(0), Granularity::channel(-1),
                Granularity::group(4), Granularity::group(11)}) {
            DynamicQuantization how{{}, granularity, symmetric};
            how.quantizer.format = format;
            how.quantizer.narrow_range = symmetric && is_integer(format);
            SCOPED_TRACE(sample.name);
            expect_defined(sample.values, {dtype, shape, how}, Backend::automatic());
          }
        }
      }
    }
  }
}

TEST(DynamicQuantization, HasTheSameBitsOnTheReference) {
  const Shape shape{9, 33};
  const std::vector<double> values = heavy_tailed_sample(static_cast<std::size_t>(9 * 33), 5);
  for (const DType dtype : kAllDTypes) {
    const DynamicQuantization how{{}, Granularity::group(32), false};
    expect_defined(values, {dtype, shape, how}, Backend::named("reference"));
  }
}

TEST(DynamicQuantization, OfNothingAndOfNothingFiniteHasAScaleOfOne) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x{nan, infinity, -infinity};
  std::vector<float> y(3);
  const QuantParams params = fake_quantize_dynamic(x, {{}, Granularity::tensor(), false}, y);
  EXPECT_EQ(params.scale, std::vector<double>{1.0});
  EXPECT_EQ(params.zero_point, std::vector<std::int32_t>{0});
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 127.0f);
  EXPECT_EQ(y[2], -128.0f);
  const ConstTensorView none(x.data(), Shape{0, 8});
  EXPECT_EQ(quantize_dynamic(none, {{}, Granularity::tensor(), true}, {}).scale,
            std::vector<double>{1.0});
  EXPECT_EQ(quantize_dynamic(none, {{}, Granularity::group(8), true}, {}).scale.size(), 0u);
}

TEST(DynamicQuantization, PacksInt4) {
  const std::vector<float> x{-7.0f, 3.0f, 0.0f, 14.0f, -2.0f};
  DynamicQuantization how{{}, Granularity::group(2), true};
  how.quantizer.format = Format::kInt4;
  std::vector<std::uint8_t> codes(3);
  const QuantParams params = quantize_dynamic(x, how, codes, CodeLayout::kNibbles);
  EXPECT_EQ(params.scale, (std::vector<double>{1.0, 2.0, double{2.0f / 7.0f}}));
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{0x39, 0x70, 0x09}));
}

TEST(DynamicQuantization, WorksInPlace) {
  std::vector<float> x{1.0f, -254.0f, 0.9f};
  fake_quantize_dynamic(x, {}, x);
  EXPECT_EQ(x, (std::vector<float>{0.0f, -254.0f, 0.0f}));
}

TEST(DynamicQuantization, RefusesWhatCannotBe) {
  const std::vector<float> x(6, 1.0f);
  std::vector<std::uint8_t> codes(6, 0xa5);
  std::vector<float> y(5);
  DynamicQuantization how;
  how.quantizer.format = Format::kE4M3;
  how.symmetric = false;
  expect_invalid([&] { quantize_dynamic(x, how, codes); }, {"how.symmetric", "false", "e4m3"});
  how.symmetric = true;
  how.quantizer.rounding = Rounding::kOriginal;
  expect_invalid([&] { quantize_dynamic(x, how, codes); }, {"how.quantizer.rounding", "e4m3"});
  expect_invalid([&] { quantize_dynamic(x, {}, std::span(codes).first(5)); },
                 {"codes.size()", "is 5;", "be 6"});
  expect_invalid([&] { quantize_dynamic(x, {}, codes, CodeLayout::kNibbles); },
                 {"layout", "kNibbles"});
  expect_invalid(
      [&] {
        quantize_dynamic(x, {{}, Granularity::group(0), true}, codes);
      },
      {"group_size", "0"});
  expect_invalid([&] { fake_quantize_dynamic(x, {}, y); }, {"y.shape()", "[5]", "[6]"});
  EXPECT_EQ(codes, std::vector<std::uint8_t>(6, 0xa5));
}

}  // namespace
}  // namespace cuqat::test
