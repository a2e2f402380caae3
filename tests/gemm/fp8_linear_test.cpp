// FP8 layers: within the bound of the exact product on every backend, for every shape and address.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "cuqat/gemm.hpp"
#include "gemm/gemm_tables.hpp"
#include "support/code_layer.hpp"
#include "support/elements.hpp"
#include "support/guarded_buffer.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

const SmallFloat& type_of(Format format) { return format == Format::kE4M3 ? kE4M3 : kE5M2; }

/// Codes of finite numbers, each as likely as the others.
Codes finite_codes(Format format, std::int64_t count, std::uint64_t seed) {
  Codes codes = some_codes(count, seed);
  for (std::uint8_t& code : codes) {
    if (!std::isfinite(decode(type_of(format), code))) code = 0x3c;
  }
  return codes;
}

QuantParams some_params(Format format, const Granularity& granularity, std::int64_t count,
                        std::uint64_t seed) {
  Random random(seed);
  QuantParams params;
  params.quantizer.format = format;
  params.granularity = granularity;
  params.scale.clear();
  for (std::int64_t i = 0; i < count; ++i) params.scale.push_back(random.uniform(1e-4, 3e-3));
  return params;
}

Layer some_layer(const GemmShape& shape, Format of_x, Format of_w, bool by_row, bool by_output,
                 bool biased) {
  Layer layer;
  layer.shape = shape;
  layer.x = finite_codes(of_x, shape.m * shape.k, 11);
  layer.w = finite_codes(of_w, shape.n * shape.k, 12);
  layer.x_params = some_params(of_x, by_row ? Granularity::channel(0) : Granularity::tensor(),
                               by_row ? shape.m : 1, 13);
  layer.w_params = some_params(of_w, by_output ? Granularity::channel(0) : Granularity::tensor(),
                               by_output ? shape.n : 1, 14);
  Random random(15);
  for (std::int64_t j = 0; biased && j < shape.n; ++j) layer.bias.push_back(random.normal());
  return layer;
}

double at(const std::vector<double>& values, std::size_t row) {
  return static_cast<double>(static_cast<float>(values[values.size() == 1 ? 0 : row]));
}

/// What the header says, but the sum in f64. Expects NaN and infinities where arithmetic has them.
void expect_product(const Layer& layer, DType dtype, const std::vector<double>& y,
                    const std::string& what) {
  const auto m = static_cast<std::size_t>(layer.shape.m);
  const auto n = static_cast<std::size_t>(layer.shape.n);
  const auto k = static_cast<std::size_t>(layer.shape.k);
  const double of_y = dtype == DType::kF32 ? 0x1p-24 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
  const double largest = dtype == DType::kF16 ? 65504.0 : 3e38;
  ASSERT_EQ(y.size(), m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t l = 0; l < k; ++l) {
        const double term = decode(type_of(layer.x_params.quantizer.format), layer.x[i * k + l]) *
                            decode(type_of(layer.w_params.quantizer.format), layer.w[j * k + l]);
        sum += term;
        size += std::abs(term);
      }
      const double scale = at(layer.x_params.scale, i) * at(layer.w_params.scale, j);
      const double of_bias =
          layer.bias.empty() ? 0.0 : static_cast<double>(static_cast<float>(layer.bias[j]));
      const double exact = scale * sum + of_bias;
      const double found = y[i * n + j];
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(found)) << what;
        continue;
      }
      if (std::isinf(exact)) {
        ASSERT_EQ(found, exact) << what;
        continue;
      }
      // The sum; then the product of the scales, the product with it, the sum with the bias.
      const double total = scale * size + std::abs(of_bias);
      const double bound = static_cast<double>(k + 2 + 4) * 0x1p-24 * total;
      if (std::abs(exact) + bound > largest) {
        // In f16 infinite from 65 520 on.
        if (std::abs(exact) - bound > 65'520.0) {
          ASSERT_EQ(found, std::copysign(HUGE_VAL, exact)) << what;
        }
        continue;
      }
      ASSERT_LE(std::abs(found - exact), bound + of_y * (std::abs(exact) + bound) + 0x1p-25)
          << what << ", " << m << " x " << n << " x " << k << " at " << i << ", " << j;
    }
  }
}

std::vector<double> run(const Layer& layer, DType dtype, const HostOptions& options) {
  const Bytes bias = to_bytes(DType::kF32, layer.bias);
  const Shape outputs{layer.shape.m, layer.shape.n};
  Bytes y(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a});
  fp8_linear(layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
             {bias.data(), DType::kF32, Shape{static_cast<std::int64_t>(layer.bias.size())}},
             TensorView(y.data(), dtype, outputs), options);
  return to_doubles(dtype, y);
}

void expect_everywhere(const Layer& layer, DType dtype) {
  for (const char* const name : {"reference", "cpu"}) {
    for (const int num_threads : {1, 3}) {
      const HostOptions options{Backend::named(name), num_threads};
      const std::vector<double> y = run(layer, dtype, options);
      expect_product(layer, dtype, y, std::string(name) + ", " + std::to_string(num_threads));
    }
  }
}

class Fp8Linear : public testing::TestWithParam<std::tuple<Format, Format, DType>> {
 protected:
  [[nodiscard]] static Layer layer(const GemmShape& shape, int variant) {
    const auto [of_x, of_w, dtype] = GetParam();
    return some_layer(shape, of_x, of_w, (variant & 1) != 0, (variant & 2) != 0,
                      (variant & 4) != 0);
  }
  [[nodiscard]] static DType dtype() { return std::get<2>(GetParam()); }
};

TEST_P(Fp8Linear, IsTheProductForEveryShapeUpTo33) {
  int variant = 0;
  for (const std::int64_t m : {0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33}) {
    for (const std::int64_t n : {0, 1, 3, 4, 7, 16, 17, 31, 33}) {
      if (kSanitized && (m + n) % 3 != 0) continue;
      for (const std::int64_t k : {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33}) {
        const Layer of = layer({m, n, k}, variant++ % 8);
        expect_everywhere(of, dtype());
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

/// Past the blocks that codes are decoded in.
TEST_P(Fp8Linear, IsTheProductOfLargeShapes) {
  for (const GemmShape& shape : {GemmShape{300, 5, 1000}, GemmShape{3, 500, 257},
                                 GemmShape{2, 2, 300'000}, GemmShape{700, 40, 400}}) {
    const Layer of = layer(shape, 7);
    const HostOptions options{Backend::named("cpu"), 2};
    expect_product(of, dtype(), run(of, dtype(), options), "cpu");
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(Fp8Linear, TakesScalesOfGroupsAsLongAsARow) {
  Layer of = layer({9, 6, 20}, 7);
  const std::vector<double> expected = run(of, dtype(), {});
  of.x_params.granularity = Granularity::group(20);
  EXPECT_EQ(run(of, dtype(), {}), expected);
  of.x_params.granularity = Granularity::group(33);
  EXPECT_EQ(run(of, dtype(), {}), expected);
}

TEST_P(Fp8Linear, HasTheSameBitsInEveryRunAndAtEveryAddress) {
  const Layer of = layer({13, 22, 47}, 7);
  const std::vector<float> bias(of.bias.begin(), of.bias.end());
  for (const char* const name : {"reference", "cpu"}) {
    for (const int num_threads : {1, 3}) {
      const HostOptions options{Backend::named(name), num_threads};
      const Bytes expected = to_bytes(dtype(), run(of, dtype(), options));
      for (std::size_t offset = 0; offset < 16; ++offset) {
        GuardedBuffer x(std::as_bytes(std::span(of.x)), offset);
        GuardedBuffer w(std::as_bytes(std::span(of.w)), 15 - offset);
        GuardedBuffer b(std::as_bytes(std::span(bias)), offset);
        GuardedBuffer y(expected.size(), offset);
        fp8_linear({x.bytes(), of.x.size()}, of.x_params, {w.bytes(), of.w.size()}, of.w_params,
                   of.shape, {b.data(), DType::kF32, Shape{22}},
                   TensorView(y.data(), dtype(), Shape{13, 22}), options);
        EXPECT_TRUE(y.holds(expected)) << name << ", " << offset;
        EXPECT_TRUE(y.guards_intact()) << name << ", " << offset;
      }
    }
  }
}

/// A NaN or an infinity among the codes, each in its row or column alone.
TEST_P(Fp8Linear, LetsNaNAndInfinityThrough) {
  const auto [of_x, of_w, of_y] = GetParam();
  for (const std::uint8_t special : Codes{0x7f, 0xff, 0x7e, 0x7c, 0xfc}) {
    Layer of = layer({6, 5, 19}, 7);
    of.x[2 * 19 + 7] = special;
    expect_everywhere(of, of_y);
    of = layer({6, 5, 19}, 7);
    of.w[3 * 19 + 18] = special;
    expect_everywhere(of, of_y);
    // Meets a zero.
    of.x[4 * 19 + 18] = 0;
    expect_everywhere(of, of_y);
    ASSERT_FALSE(HasFatalFailure());
  }
}

/// Every code of both formats, decoded: the product with 1.
TEST_P(Fp8Linear, DecodesEveryCode) {
  const auto [of_x, of_w, of_y] = GetParam();
  Layer of;
  of.shape = {256, 1, 1};
  for (int code = 0; code < 256; ++code) of.x.push_back(static_cast<std::uint8_t>(code));
  of.w = {static_cast<std::uint8_t>(of_w == Format::kE4M3 ? 0x38 : 0x3c)};
  of.x_params.quantizer.format = of_x;
  of.w_params.quantizer.format = of_w;
  for (const char* const name : {"reference", "cpu"}) {
    const std::vector<double> y = run(of, of_y, {Backend::named(name), 1});
    for (std::size_t code = 0; code < 256; ++code) {
      const double expected = decode(type_of(of_x), static_cast<std::uint32_t>(code));
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(y[code])) << name << ", " << code;
      } else {
        // All of them are numbers of bf16 and of f16.
        EXPECT_EQ(y[code], expected) << name << ", " << code;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Fp8Linear,
                         testing::Combine(testing::Values(Format::kE4M3, Format::kE5M2),
                                          testing::Values(Format::kE4M3, Format::kE5M2),
                                          testing::Values(DType::kF32, DType::kBF16, DType::kF16)),
                         [](const auto& param) {
                           return std::string(to_string(std::get<0>(param.param))) + "_by_" +
                                  std::string(to_string(std::get<1>(param.param))) + "_" +
                                  std::string(to_string(std::get<2>(param.param)));
                         });

/// E4M3's products are exact, and small sums of them too: then every order gives the same bits.
TEST(Fp8LinearOfSmallIntegers, IsExactOnEveryInstructionSet) {
  // Codes of 1, 2, 3, 4, -1, -2, -3, -4, 0.
  const Codes integers{0x38, 0x40, 0x44, 0x48, 0xb8, 0xc0, 0xc4, 0xc8, 0x00};
  const GemmShape shape{37, 70, 500};
  Random random(5);
  Codes x(37 * 500);
  Codes w(70 * 500);
  for (std::uint8_t& code : x) code = integers[random() % 9];
  for (std::uint8_t& code : w) code = integers[random() % 9];
  std::vector<float> expected;
  for (std::size_t i = 0; i < 37; ++i) {
    for (std::size_t j = 0; j < 70; ++j) {
      double sum = 0.0;
      for (std::size_t l = 0; l < 500; ++l) {
        sum += decode(kE4M3, x[i * 500 + l]) * decode(kE4M3, w[j * 500 + l]);
      }
      expected.push_back(static_cast<float>(sum * 0.25));
    }
  }
  const float half = 0.5f;
  const std::int32_t zero = 0;
  for (const auto* table : multiplying_tables()) {
    for (const int num_threads : {1, 2, 5}) {
      std::vector<float> y(37 * 70);
      table->fp8_linear({x.data(),
                         Format::kE4M3,
                         w.data(),
                         Format::kE4M3,
                         shape,
                         {&half, &zero, false},
                         {&half, &zero, false},
                         nullptr,
                         DType::kF32,
                         num_threads},
                        y.data());
      EXPECT_EQ(y, expected) << table_name(*table) << ", " << num_threads;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
