// y = x w^T + bias of real numbers: f64 has the bits of its definition, whose sums begin with the
// bias; the others stay within their bound.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "cuqat/gemm.hpp"
#include "gemm/gemm_tables.hpp"
#include "support/elements.hpp"
#include "support/guarded_buffer.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

struct Layer {
  DType dtype;  ///< Of x and w.
  GemmShape shape;
  Bytes x;
  Bytes w;
  Bytes bias;  ///< In the compute type, or empty.
  [[nodiscard]] DType compute() const { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }
  [[nodiscard]] std::int64_t num_biases() const { return bias.empty() ? 0 : shape.n; }
};

std::vector<double> random_values(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.normal();
  return values;
}

Layer some_layer(DType dtype, const GemmShape& shape, bool biased) {
  Layer layer{dtype,
              shape,
              to_bytes(dtype, random_values(shape.m * shape.k, 1)),
              to_bytes(dtype, random_values(shape.n * shape.k, 2)),
              {}};
  if (biased) layer.bias = to_bytes(layer.compute(), random_values(shape.n, 3));
  return layer;
}

Bytes run(const Layer& layer, DType y_dtype, const HostOptions& options) {
  const auto& [m, n, k] = layer.shape;
  Bytes y(static_cast<std::size_t>(m * n) * dtype_bytes(y_dtype), std::byte{0x5a});
  linear({layer.x.data(), layer.dtype, Shape{m, k}}, {layer.w.data(), layer.dtype, Shape{n, k}},
         {layer.bias.data(), layer.compute(), Shape{layer.num_biases()}},
         TensorView(y.data(), y_dtype, Shape{m, n}), options);
  return y;
}

void expect_product(const Layer& layer, DType y_dtype, const Bytes& bytes,
                    const std::string& what) {
  const std::vector<double> x = to_doubles(layer.dtype, layer.x);
  const std::vector<double> w = to_doubles(layer.dtype, layer.w);
  const std::vector<double> bias = to_doubles(layer.compute(), layer.bias);
  const std::vector<double> y = to_doubles(y_dtype, bytes);
  const auto n = static_cast<std::size_t>(layer.shape.n);
  const auto k = static_cast<std::size_t>(layer.shape.k);
  for (std::size_t at = 0; at < y.size(); ++at) {
    const std::size_t i = at / n;
    const std::size_t j = at % n;
    double sum = bias.empty() ? 0.0 : bias[j];
    double size = std::abs(sum);
    for (std::size_t l = 0; l < k; ++l) {
      const double term = x[i * k + l] * w[j * k + l];
      sum += term;
      size += std::abs(term);
    }
    if (layer.dtype == DType::kF64) {
      ASSERT_EQ(y[at], sum) << what;
      continue;
    }
    // The bias is one product more.
    const double bound = static_cast<double>(k + 3) * 0x1p-24 * size;
    const double of_y = y_dtype == DType::kF32 ? 0.0 : y_dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
    ASSERT_LE(std::abs(y[at] - sum), bound + of_y * (std::abs(sum) + bound) + 1e-14 * size)
        << what << ", " << layer.shape.m << " x " << n << " x " << k << " at " << i << ", " << j;
  }
}

class Linear : public testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  [[nodiscard]] static DType dtype() { return std::get<0>(GetParam()); }
  [[nodiscard]] static DType y_dtype() { return std::get<1>(GetParam()); }
  static void expect_everywhere(const Layer& layer) {
    for (const char* const name : {"reference", "cpu"}) {
      for (const int num_threads : {1, 3}) {
        const Bytes y = run(layer, y_dtype(), {Backend::named(name), num_threads});
        expect_product(layer, y_dtype(), y, std::string(name) + ", " + std::to_string(num_threads));
      }
    }
  }
};

TEST_P(Linear, IsTheProductForEveryShapeUpTo33) {
  bool biased = false;
  for (const std::int64_t m : {0, 1, 2, 3, 7, 8, 15, 17, 31, 33}) {
    for (const std::int64_t n : {0, 1, 3, 4, 9, 16, 17, 33}) {
      if (kSanitized && (m + n) % 3 != 0) continue;
      for (const std::int64_t k : {0, 1, 2, 5, 8, 15, 16, 31, 33}) {
        biased = !biased;
        expect_everywhere(some_layer(dtype(), {m, n, k}, biased));
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST_P(Linear, IsTheProductOfLargeShapes) {
  for (const GemmShape& shape :
       {GemmShape{65, 300, 257}, GemmShape{2, 3, 100'000}, GemmShape{500, 3, 70}}) {
    const Layer layer = some_layer(dtype(), shape, true);
    expect_product(layer, y_dtype(), run(layer, y_dtype(), {Backend::named("cpu"), 2}), "cpu");
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(Linear, WithoutABiasIsTheProductWithATranspose) {
  for (const GemmShape& shape : {GemmShape{5, 7, 9}, GemmShape{33, 17, 64}, GemmShape{2, 3, 0}}) {
    const Layer layer = some_layer(dtype(), shape, false);
    for (const char* const name : {"reference", "cpu"}) {
      const HostOptions options{Backend::named(name), 2};
      Bytes y(static_cast<std::size_t>(shape.m * shape.n) * dtype_bytes(y_dtype()));
      gemm({layer.x.data(), dtype(), Shape{shape.m, shape.k}}, Transpose::kNo,
           {layer.w.data(), dtype(), Shape{shape.n, shape.k}}, Transpose::kYes,
           TensorView(y.data(), y_dtype(), Shape{shape.m, shape.n}), options);
      EXPECT_EQ(run(layer, y_dtype(), options), y) << name;
    }
  }
}

TEST_P(Linear, HasTheSameBitsInEveryRunAndAtEveryAddress) {
  const Layer layer = some_layer(dtype(), {13, 22, 47}, true);
  for (const char* const name : {"reference", "cpu"}) {
    for (const int num_threads : {1, 3}) {
      const HostOptions options{Backend::named(name), num_threads};
      const Bytes expected = run(layer, y_dtype(), options);
      for (std::size_t offset = 0; offset < 16; ++offset) {
        GuardedBuffer x(layer.x, offset);
        GuardedBuffer w(layer.w, 15 - offset);
        GuardedBuffer bias(layer.bias, offset);
        GuardedBuffer y(expected.size(), offset);
        linear({x.data(), dtype(), Shape{13, 47}}, {w.data(), dtype(), Shape{22, 47}},
               {bias.data(), layer.compute(), Shape{22}},
               TensorView(y.data(), y_dtype(), Shape{13, 22}), options);
        EXPECT_TRUE(y.holds(expected)) << name << ", " << offset;
        EXPECT_TRUE(y.guards_intact()) << name << ", " << offset;
      }
    }
  }
}

TEST_P(Linear, LetsNaNAndInfinityThrough) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> x{1.0, kInfinity, -kInfinity, 1.0, std::nan(""), 0.0, 1.0, 1.0};
  const std::vector<double> w{1.0, 2.0, 0.0, 1.0};
  Layer layer{dtype(), {4, 2, 2}, to_bytes(dtype(), x), to_bytes(dtype(), w), {}};
  for (const bool biased : {false, true}) {
    if (biased) layer.bias = to_bytes(layer.compute(), std::vector{-kInfinity, 1.0});
    for (const char* const name : {"reference", "cpu"}) {
      const std::vector<double> y =
          to_doubles(y_dtype(), run(layer, y_dtype(), {Backend::named(name), 1}));
      const double nan = std::nan("");
      const std::vector<double> expected =
          biased ? std::vector{nan, kInfinity, -kInfinity, nan, nan, nan, -kInfinity, 2.0}
                 : std::vector{kInfinity, kInfinity, -kInfinity, nan, nan, nan, 3.0, 1.0};
      for (std::size_t i = 0; i < 8; ++i) {
        if (std::isnan(expected[i])) {
          EXPECT_TRUE(std::isnan(y[i])) << name << ", " << i;
        } else {
          EXPECT_EQ(y[i], expected[i]) << name << ", " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryDType, Linear,
    testing::Values(std::tuple(DType::kF32, DType::kF32), std::tuple(DType::kF64, DType::kF64),
                    std::tuple(DType::kBF16, DType::kBF16), std::tuple(DType::kF16, DType::kF16),
                    std::tuple(DType::kBF16, DType::kF32), std::tuple(DType::kF16, DType::kF32)),
    [](const auto& types) {
      return std::string(to_string(std::get<0>(types.param))) + "_to_" +
             std::string(to_string(std::get<1>(types.param)));
    });

/// The sums of f64 begin with the bias: added last it would be another number.
TEST(LinearOfF64, BeginsWithTheBias) {
  const std::vector<double> x{0x1p53, 1.0};
  const std::vector<double> w{1.0, 1.0};
  const std::vector<double> bias{1.0};
  for (const char* const name : {"reference", "cpu"}) {
    double y = 0.0;
    linear({x.data(), Shape{1, 2}}, {w.data(), Shape{1, 2}}, bias, {&y, Shape{1, 1}},
           {Backend::named(name), 1});
    EXPECT_EQ(y, (1.0 + 0x1p53) + 1.0) << name;
  }
}

/// A sum of nothing is the bias, or +0.
TEST(LinearOfNoInputs, IsTheBias) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
    for (const char* const name : {"reference", "cpu"}) {
      Layer layer = some_layer(dtype, {2, 3, 0}, false);
      EXPECT_EQ(run(layer, dtype, {Backend::named(name), 1}), Bytes(6 * dtype_bytes(dtype)));
      layer.bias = to_bytes(layer.compute(), std::vector{0.5, -2.0, 1.0});
      EXPECT_EQ(to_doubles(dtype, run(layer, dtype, {Backend::named(name), 1})),
                (std::vector{0.5, -2.0, 1.0, 0.5, -2.0, 1.0}));
    }
  }
}

}  // namespace
}  // namespace cuqat::test
