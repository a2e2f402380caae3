// FP8 layers on the device are exact where their sums are, and within their bound elsewhere.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/device_layer.hpp"

namespace cuqat::test {
namespace {

double decoded(Format format, std::uint8_t code) {
  return decode(format == Format::kE4M3 ? kE4M3 : kE5M2, code);
}

/// t of every output, exactly, and the sum of the magnitudes.
struct ExactSums {
  std::vector<double> sum;
  std::vector<double> size;
};
ExactSums exact_sums(const Layer& layer) {
  const auto& [m, n, k] = layer.shape;
  ExactSums result;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::int64_t l = 0; l < k; ++l) {
        const double term =
            decoded(layer.x_params.quantizer.format, layer.x[static_cast<std::size_t>(i * k + l)]) *
            decoded(layer.w_params.quantizer.format, layer.w[static_cast<std::size_t>(j * k + l)]);
        sum += term;
        size += std::abs(term);
      }
      result.sum.push_back(sum);
      result.size.push_back(size);
    }
  }
  return result;
}

/// y of output i where its sum is `sum`, as the header says, before it is rounded to y's type.
float output_of(const Layer& layer, std::size_t i, float sum) {
  const auto n = static_cast<std::size_t>(layer.shape.n);
  const auto at = [](const std::vector<double>& all, std::size_t row) {
    return static_cast<float>(all[all.size() == 1 ? 0 : row]);
  };
  volatile float scale = at(layer.x_params.scale, i / n) * at(layer.w_params.scale, i % n);
  volatile float value = scale * sum;
  if (!layer.bias.empty()) value = value + static_cast<float>(layer.bias[i % n]);
  return value;
}

struct Formats {
  Format x;
  Format w;
};
constexpr Formats kFormats[] = {
    {Format::kE4M3, Format::kE4M3}, {Format::kE4M3, Format::kE5M2}, {Format::kE5M2, Format::kE4M3}};

/// Codes of which all are finite, and with `small` whole numbers up to 2.
Codes fp8_codes(Format format, std::int64_t count, bool small, std::uint64_t seed) {
  Random random(seed);
  Codes codes(static_cast<std::size_t>(count));
  const std::uint8_t one = format == Format::kE4M3 ? 0x38 : 0x3c;
  const std::uint8_t two = format == Format::kE4M3 ? 0x40 : 0x40;
  const std::uint8_t whole[] = {0,
                                one,
                                two,
                                0x80,
                                static_cast<std::uint8_t>(one | 0x80),
                                static_cast<std::uint8_t>(two | 0x80)};
  for (std::uint8_t& code : codes) {
    do {
      code = small ? whole[random() % 6] : static_cast<std::uint8_t>(random() >> 56);
    } while (!std::isfinite(decoded(format, code)));
  }
  return codes;
}

Layer fp8_layer(const GemmShape& shape, const Formats& formats, bool small,
                const Variant& variant) {
  Layer layer = some_layer(shape, variant);
  layer.x_params.quantizer.format = formats.x;
  layer.w_params.quantizer.format = formats.w;
  layer.x = fp8_codes(formats.x, shape.m * shape.k, small, 21);
  layer.w = fp8_codes(formats.w, shape.n * shape.k, small, 22);
  return layer;
}

class DeviceFp8Linear : public testing::TestWithParam<DType> {
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }
};

/// Whose sums are whole numbers of at most 8 bits, which no order and no accumulator rounds.
TEST_P(DeviceFp8Linear, IsExactWhereItsSumsAre) {
  int number = 0;
  for (const GemmShape& shape : {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{33, 5, 60},
                                 GemmShape{48, 32, 64}, GemmShape{16, 16, 16}}) {
    for (const Formats& formats : kFormats) {
      for (int i = 0; i < 8; ++i) {
        set_device_order(number++ % num_device_orders());
        const Variant variant{(i & 1) != 0, (i & 2) != 0, false, false, (i & 4) != 0};
        const Layer layer = fp8_layer(shape, formats, true, variant);
        const ExactSums sums = exact_sums(layer);
        Bytes expected(sums.sum.size() * dtype_bytes(GetParam()));
        for (std::size_t j = 0; j < sums.sum.size(); ++j) {
          store_element(GetParam(), expected.data(), j,
                        output_of(layer, j, static_cast<float>(sums.sum[j])));
        }
        const std::size_t offset = number % 3 == 0 ? 1u : 0u;
        ASSERT_EQ(device_outputs(layer, GetParam(), {offset, 0, offset}), expected)
            << shape.m << " x " << shape.n << " x " << shape.k << ", " << i;
      }
    }
  }
}

TEST_P(DeviceFp8Linear, IsWithinItsBound) {
  set_device_order(0);
  const double of_y = GetParam() == DType::kF32   ? 0x1p-24
                      : GetParam() == DType::kF16 ? 0x1p-11
                                                  : 0x1p-8;
  for (const Formats& formats : kFormats) {
    for (const GemmShape& shape : {GemmShape{20, 19, 777}, GemmShape{32, 16, 512}}) {
      Layer layer = fp8_layer(shape, formats, false, {true, true, false, false, false});
      // f16 does not overflow.
      for (double& scale : layer.x_params.scale) scale *= 0x1p-24;
      const ExactSums sums = exact_sums(layer);
      const std::vector<double> y = to_doubles(GetParam(), device_outputs(layer, GetParam()));
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double scale = output_of(layer, i, 1.0f);
        const double bound = scale * 0x1p-6 * sums.size[i];
        const double expected = scale * sums.sum[i];
        // Two roundings before that to y's type, whose smallest step is f16's.
        ASSERT_NEAR(y[i], expected,
                    bound + (of_y + 0x1p-23) * (std::abs(expected) + bound) + 0x1p-25);
      }
    }
  }
}

TEST_P(DeviceFp8Linear, LetsSpecialNumbersThrough) {
  set_device_order(0);
  Layer layer = fp8_layer({2, 3, 4}, {Format::kE4M3, Format::kE5M2}, true, {});
  layer.x = Codes(8, 0x38);
  layer.w = {0x3c, 0x3c, 0x3c, 0x3c, 0x3c, 0x7c, 0x3c, 0x3c, 0xfc, 0x3c, 0x3c, 0x3c};
  layer.x[4] = 0xff;
  const std::vector<double> y = to_doubles(GetParam(), device_outputs(layer, GetParam()));
  EXPECT_TRUE(std::isfinite(y[0]));
  EXPECT_EQ(y[1], std::numeric_limits<double>::infinity());
  EXPECT_EQ(y[2], -std::numeric_limits<double>::infinity());
  for (const std::size_t i : {3u, 4u, 5u}) EXPECT_TRUE(std::isnan(y[i]));
}

TEST_P(DeviceFp8Linear, MayBeEmptyAndInPieces) {
  set_device_order(0);
  const Layer none = fp8_layer({3, 5, 0}, kFormats[0], true, {false, false, false, false, true});
  const std::vector<double> y = to_doubles(GetParam(), device_outputs(none, GetParam()));
  const Layer biased =
      fp8_layer({100, 90, 48}, kFormats[1], true, {true, true, false, false, true});
  const DeviceContext context(DeviceContext::Options{.workspace_bytes = 20'000});
  EXPECT_EQ(device_outputs(biased, GetParam(), {1, 1, 0, false, &context}),
            device_outputs(biased, GetParam()));
  for (std::size_t i = 0; i < y.size(); ++i) {
    Bytes expected(dtype_bytes(GetParam()));
    store_element(GetParam(), expected.data(), 0, static_cast<float>(none.bias[i % 5]));
    EXPECT_EQ(y[i], load_element(GetParam(), expected.data(), 0));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceFp8Linear,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace cuqat::test
