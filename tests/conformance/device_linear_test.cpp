// Integer layers on the device have the host's bits; FP8 layers are exact where their sums are, and
// within their bound elsewhere.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "conformance/device_products.hpp"

namespace cuqat::test {
namespace {

/// A layer on the host.
struct Layer {
  GemmShape shape;
  Codes x;
  Codes w;
  QuantParams x_params;
  QuantParams w_params;
  std::vector<double> bias;  ///< Or empty.
};

struct Variant {
  bool by_row = false;
  bool by_output = false;
  bool x_affine = false;
  bool w_affine = false;
  bool biased = false;
};
Variant variant_of(int number) {
  const auto bit = [number](int i) { return (number >> i & 1) != 0; };
  return {bit(0), bit(1), bit(2), bit(3), bit(4)};
}

QuantParams some_params(const Granularity& granularity, std::int64_t count, bool affine,
                        std::uint64_t seed) {
  Random random(seed);
  QuantParams params;
  params.granularity = granularity;
  params.scale.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    params.scale.push_back(random.uniform(1e-3, 2e-2));
    if (affine) params.zero_point.push_back(static_cast<std::int32_t>(random() % 256) - 128);
  }
  return params;
}

Layer some_layer(const GemmShape& shape, const Variant& variant) {
  Layer layer{shape, some_codes(shape.m * shape.k, 11), some_codes(shape.n * shape.k, 12), {}, {},
              {}};
  const Granularity row = shape.k > 0 ? Granularity::group(shape.k + 3) : Granularity::channel(0);
  layer.x_params = some_params(variant.by_row ? row : Granularity::tensor(),
                               variant.by_row ? shape.m : 1, variant.x_affine, 13);
  layer.w_params = some_params(variant.by_output ? Granularity::channel(0) : Granularity::tensor(),
                               variant.by_output ? shape.n : 1, variant.w_affine, 14);
  Random random(15);
  for (std::int64_t j = 0; variant.biased && j < shape.n; ++j) {
    layer.bias.push_back(random.normal());
  }
  return layer;
}

DType compute_type(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

Bytes host_outputs(const Layer& layer, DType dtype) {
  const Bytes bias = to_bytes(compute_type(dtype), layer.bias);
  const Shape outputs{layer.shape.m, layer.shape.n};
  Bytes y(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a});
  int8_linear(
      layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
      {bias.data(), compute_type(dtype), Shape{static_cast<std::int64_t>(layer.bias.size())}},
      TensorView(y.data(), dtype, outputs), {Backend::named("reference"), 1});
  return y;
}

/// Scales and zero points in device memory.
class PlacedParams {
 public:
  PlacedParams(const QuantParams& params, DType dtype)
      : params_(params),
        dtype_(compute_type(dtype)),
        scale_(to_bytes(dtype_, params.scale)),
        zero_point_(params.zero_point) {}
  [[nodiscard]] DeviceQuantParams get() const {
    const auto count = static_cast<std::int64_t>(params_.scale.size());
    return {params_.quantizer,
            params_.granularity,
            {scale_.as<void>(), dtype_, Shape{count}},
            zero_point_.span<const std::int32_t>()};
  }

 private:
  QuantParams params_;
  DType dtype_;
  Placed scale_;
  Placed zero_point_;
};

/// Where a layer lies, and whether the sums of w are given.
struct Where {
  std::size_t x = 0;
  std::size_t w = 0;
  std::size_t y = 0;
  bool with_sums = false;
  const DeviceContext* context = nullptr;  ///< Null: that under test.
};

Bytes device_outputs(const Layer& layer, DType dtype, const Where& where = {}) {
  const GemmShape& shape = layer.shape;
  const DeviceUnderTest& device = device_under_test();
  const DeviceContext& context = where.context == nullptr ? device.context : *where.context;
  const StreamRef stream = device.stream;
  const Placed x(layer.x, where.x);
  const Placed w(layer.w, where.w);
  const PlacedParams x_params(layer.x_params, dtype);
  const PlacedParams w_params(layer.w_params, dtype);
  const Placed bias(to_bytes(compute_type(dtype), layer.bias));
  const Placed sums(std::vector<std::int64_t>(static_cast<std::size_t>(shape.n), 77));
  const Shape outputs{shape.m, shape.n};
  const Placed y(
      Bytes(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a}),
      where.y);
  const ConstDeviceTensorView device_bias(bias.as<void>(), compute_type(dtype),
                                          Shape{static_cast<std::int64_t>(layer.bias.size())});
  const DeviceTensorView device_y(y.as<void>(), dtype, outputs);
  run_product([&] {
    if (is_integer(layer.x_params.quantizer.format)) {
      DeviceSpan<const std::int64_t> given;
      if (where.with_sums) {
        sum_code_rows(w.span<const std::uint8_t>(), shape.k, sums.span<std::int64_t>(), context,
                      stream);
        given = sums.span<std::int64_t>();
      }
      int8_linear(x.span<const std::uint8_t>(), x_params.get(), w.span<const std::uint8_t>(),
                  w_params.get(), shape, device_bias, given, device_y, context, stream);
    } else {
      fp8_linear(x.span<const std::uint8_t>(), x_params.get(), w.span<const std::uint8_t>(),
                 w_params.get(), shape, device_bias, device_y, context, stream);
    }
  });
  return y.content<std::byte>();
}

class DeviceLinear : public testing::TestWithParam<DType> {};

TEST_P(DeviceLinear, HasTheHostsBits) {
  int number = 0;
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{70, 3, 129}, GemmShape{33, 40, 64}}) {
    for (int i = 0; i < 32; ++i) {
      set_device_order(number++ % num_device_orders());
      const Layer layer = some_layer(shape, variant_of(i));
      ASSERT_EQ(device_outputs(layer, GetParam(), {.with_sums = number % 2 == 0}),
                host_outputs(layer, GetParam()))
          << shape.m << " x " << shape.n << " x " << shape.k << ", " << i;
    }
  }
}

TEST_P(DeviceLinear, MayLieAtEveryAddress) {
  int number = 0;
  for (const std::size_t x : {0u, 1u, 8u}) {
    for (const std::size_t w : {0u, 5u}) {
      for (const std::size_t y : {0u, 1u, 2u, 4u, 8u}) {
        set_device_order(number++ % num_device_orders());
        const Layer layer = some_layer({18, 24, 32}, variant_of(31));
        ASSERT_EQ(device_outputs(layer, GetParam(), {x, w, y, true}),
                  host_outputs(layer, GetParam()));
      }
    }
  }
}

/// Past kMaxInt32Depth, also with every code -128 and the zero points that make most of it.
TEST_P(DeviceLinear, IsExactForEveryDepth) {
  set_device_order(0);
  for (const std::int64_t k : {131'071, 131'072, 300'001}) {
    const auto length = static_cast<std::size_t>(k);
    Layer layer = some_layer({2, 3, k}, variant_of(31));
    ASSERT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam())) << k;
    layer.x = Codes(2 * length, 0x80);
    layer.w = Codes(3 * length, 0x80);
    layer.x_params.zero_point.assign(2, 127);
    layer.w_params.zero_point.assign(3, 127);
    ASSERT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam())) << k;
    layer.x_params.zero_point.clear();
    layer.w_params.zero_point.clear();
    ASSERT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam())) << k;
  }
}

TEST_P(DeviceLinear, IsTheSameInPieces) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{100, 90, 48}, GemmShape{96, 96, 48}, GemmShape{65, 70, 33}}) {
    const Layer layer = some_layer(shape, variant_of(31));
    const Bytes expected = host_outputs(layer, GetParam());
    const std::size_t whole = product_workspace_bytes(shape);
    for (const std::size_t bytes : {whole, whole / 2, std::size_t{20'000}}) {
      const DeviceContext context(DeviceContext::Options{.workspace_bytes = bytes});
      for (const bool with_sums : {false, true}) {
        ASSERT_EQ(device_outputs(layer, GetParam(), {0, 0, 0, with_sums, &context}), expected);
        ASSERT_EQ(device_outputs(layer, GetParam(), {1, 3, 1, with_sums, &context}), expected);
      }
    }
  }
  // And in depth: pieces of 32 rows and outputs.
  const Layer deep = some_layer({49, 33, 131'072}, variant_of(31));
  const DeviceContext context(DeviceContext::Options{.workspace_bytes = 7 << 20});
  EXPECT_EQ(device_outputs(deep, GetParam(), {0, 1, 0, false, &context}),
            host_outputs(deep, GetParam()));
}

TEST_P(DeviceLinear, MayHaveNoRowsOutputsOrInputs) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}, GemmShape{2, 3, 0}}) {
    const Layer layer = some_layer(shape, variant_of(31));
    EXPECT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam()));
  }
}

/// NaN and infinities of the bias, and a scale of 0, which the host refuses.
TEST_P(DeviceLinear, LetsSpecialNumbersThrough) {
  set_device_order(0);
  Layer layer = some_layer({3, 9, 20}, variant_of(31));
  layer.bias[1] = -std::numeric_limits<double>::quiet_NaN();
  layer.bias[2] = std::numeric_limits<double>::infinity();
  layer.bias[8] = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam()));
  layer.bias.assign(9, 0.5);
  layer.x_params.scale.assign(3, 0.0);
  EXPECT_EQ(to_doubles(GetParam(), device_outputs(layer, GetParam())),
            std::vector<double>(27, 0.5));
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceLinear,
                         testing::Values(DType::kF32, DType::kF64, DType::kF16, DType::kBF16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

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

class DeviceFp8Linear : public testing::TestWithParam<DType> {};

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
