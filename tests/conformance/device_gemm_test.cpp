// Products of real matrices on the device: within their bound, for every shape, transpose and type;
// and what all products do on a stream and refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/device_products.hpp"
#include "support/captured_graph.hpp"

namespace cuqat::test {
namespace {

/// A matrix on the device and its elements on the host.
class Matrix {
 public:
  Matrix(DType dtype, const Shape& shape, std::uint64_t seed, std::size_t offset)
      : dtype_(dtype),
        shape_(shape),
        bytes_(some_bytes(dtype, shape, seed)),
        values_(to_doubles(dtype, bytes_)),
        memory_(bytes_, offset) {}
  [[nodiscard]] ConstDeviceTensorView view() const { return {memory_.as<void>(), dtype_, shape_}; }
  /// Element of the matrix, or of its transpose.
  [[nodiscard]] double at(bool transposed, std::int64_t row, std::int64_t column) const {
    return values_[static_cast<std::size_t>(transposed ? column * shape_[1] + row
                                                       : row * shape_[1] + column)];
  }

 private:
  static Bytes some_bytes(DType dtype, const Shape& shape, std::uint64_t seed) {
    Random random(seed);
    std::vector<double> values(static_cast<std::size_t>(shape.count()));
    for (double& value : values) value = random.normal();
    return to_bytes(dtype, values);
  }

  DType dtype_;
  Shape shape_;
  Bytes bytes_;
  std::vector<double> values_;
  Placed memory_;
};

Transpose how(bool transposed) { return transposed ? Transpose::kYes : Transpose::kNo; }

class DeviceGemm : public testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  static void expect_product(const GemmShape& shape, bool a_transposed, bool b_transposed,
                             std::size_t offset = 0) {
    const auto [dtype, y_dtype] = GetParam();
    const auto& [m, n, k] = shape;
    const Matrix a(dtype, a_transposed ? Shape{k, m} : Shape{m, k}, 31, offset);
    const Matrix b(dtype, b_transposed ? Shape{n, k} : Shape{k, n}, 32, offset);
    const Shape outputs{m, n};
    const Placed memory(
        Bytes(static_cast<std::size_t>(outputs.count()) * dtype_bytes(y_dtype), std::byte{0x5a}),
        offset);
    run_product([&, y_dtype = y_dtype] {
      gemm(a.view(), how(a_transposed), b.view(), how(b_transposed),
           {memory.as<void>(), y_dtype, outputs}, device_under_test().context,
           device_under_test().stream);
    });
    const std::vector<double> y = to_doubles(y_dtype, memory.content<std::byte>());
    const double unit = dtype == DType::kF64 ? 0x1p-53 : dtype == DType::kF32 ? 0x1p-24 : 0x1p-22;
    const double of_y = y_dtype == DType::kF16 ? 0x1p-11 : y_dtype == DType::kBF16 ? 0x1p-8 : 0.0;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        long double sum = 0.0;
        double size = 0.0;
        for (std::int64_t l = 0; l < k; ++l) {
          const double term = a.at(a_transposed, i, l) * b.at(b_transposed, l, j);
          sum += static_cast<long double>(a.at(a_transposed, i, l)) * b.at(b_transposed, l, j);
          size += std::abs(term);
        }
        const double found = y[static_cast<std::size_t>(i * n + j)];
        const double bound = static_cast<double>(k + 2) * unit * size;
        const auto expected = static_cast<double>(sum);
        ASSERT_LE(std::abs(found - expected), bound + of_y * (std::abs(expected) + bound))
            << m << " x " << n << " x " << k;
      }
    }
  }
};

TEST_P(DeviceGemm, IsTheProductForEveryTransposeAndShape) {
  int number = 0;
  for (const std::int64_t m : {0, 1, 9, 64}) {
    for (const std::int64_t n : {0, 1, 17, 48}) {
      for (const std::int64_t k : {0, 1, 33, 96}) {
        for (const bool a_transposed : {false, true}) {
          for (const bool b_transposed : {false, true}) {
            set_device_order(number++ % num_device_orders());
            expect_product({m, n, k}, a_transposed, b_transposed);
            ASSERT_FALSE(HasFatalFailure());
          }
        }
      }
    }
  }
}

TEST_P(DeviceGemm, TakesEveryAddressOfItsElements) {
  set_device_order(0);
  const std::size_t size = dtype_bytes(std::get<1>(GetParam()));
  for (const std::size_t elements : {1u, 2u, 3u}) {
    expect_product({5, 19, 21}, false, true, elements * size);
    expect_product({16, 16, 32}, true, false, elements * size);
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryDType, DeviceGemm,
    testing::Values(std::tuple(DType::kF32, DType::kF32), std::tuple(DType::kF64, DType::kF64),
                    std::tuple(DType::kBF16, DType::kBF16), std::tuple(DType::kF16, DType::kF16),
                    std::tuple(DType::kBF16, DType::kF32), std::tuple(DType::kF16, DType::kF32)),
    [](const auto& test) {
      return std::string(to_string(std::get<0>(test.param))) + "_to_" +
             std::string(to_string(std::get<1>(test.param)));
    });

class DeviceProducts : public DeviceArguments {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  [[nodiscard]] DeviceSpan<const std::uint8_t> codes(std::int64_t count) const {
    return {static_cast<const std::uint8_t*>(x_), count};
  }
  [[nodiscard]] DeviceTensorView matrix(void* memory, std::int64_t rows,
                                        std::int64_t columns) const {
    return {memory, DType::kF32, Shape{rows, columns}};
  }
};

TEST_F(DeviceProducts, OfMatricesThatDoNotFitAreRefused) {
  const auto run = [&](ConstDeviceTensorView a, ConstDeviceTensorView b, DeviceTensorView y) {
    gemm(a, Transpose::kNo, b, Transpose::kYes, y, context(), stream());
  };
  const DeviceTensorView a = matrix(x_, 2, 3);
  const DeviceTensorView b = matrix(scale_, 4, 3);
  expect_refused([&] { run(a, matrix(scale_, 4, 2), matrix(y_, 2, 4)); },
                 {"the summed extent of b is 2", "3"});
  expect_refused([&] { run(a, b, matrix(y_, 4, 2)); }, {"y.shape() is [4, 2]", "[2, 4]"});
  expect_refused(
      [&] {
        run(a, {scale_, DType::kF32, Shape{12}}, matrix(y_, 2, 4));
      },
      {"b.shape() is [12]", "rank 2"});
  expect_refused(
      [&] {
        run(a, {scale_, DType::kF16, Shape{4, 3}}, matrix(y_, 2, 4));
      },
      {"b.dtype() is F16"});
  expect_refused([&] { run(a, b, {y_, DType::kF64, Shape{2, 4}}); }, {"y.dtype() is F64"});
  expect_refused([&] { run(a, b, matrix(x_, 2, 4)); }, {"y is in memory that a uses"});
  expect_refused([&] { run(matrix(static_cast<char*>(x_) + 2, 2, 3), b, matrix(y_, 2, 4)); },
                 {"a is 2 bytes past a multiple of 4"});
  expect_refused(
      [&] {
        gemm(a, static_cast<Transpose>(2), b, Transpose::kYes, matrix(y_, 2, 4), context(),
             stream());
      },
      {"of_a is 2"});
}

TEST_F(DeviceProducts, ParametersOfALayerThatDoNotFitAreRefused) {
  const GemmShape shape{2, 3, 4};
  const auto run = [&](const DeviceQuantParams& x_params, const DeviceQuantParams& w_params) {
    int8_linear(codes(8), x_params, codes(12), w_params, shape, {}, {}, matrix(y_, 2, 3), context(),
                stream());
  };
  DeviceQuantParams changed = params();
  changed.quantizer.format = Format::kE4M3;
  expect_refused([&] { run(changed, params()); },
                 {"x_params.quantizer.format is e4m3", "int8 or int4"});
  expect_refused([&] { run(params(), changed); }, {"w_params.quantizer.format is e4m3"});
  changed = params();
  changed.granularity = Granularity::channel(1);
  expect_refused([&] { run(changed, params()); }, {"x_params.granularity", "channel(0)"});
  changed.granularity = Granularity::group(3);
  expect_refused([&] { run(changed, params()); }, {"x_params.granularity", "at least k"});
  changed.granularity = Granularity::group(4);
  expect_refused([&] { run(params(), changed); }, {"w_params.granularity", "tensor or channel(0)"});
  expect_refused([&] { run(changed, params()); }, {"x_params.scale.size() is 1", "be 2"});
  changed = params();
  changed.scale = {scale_, DType::kF64, Shape{1}};
  expect_refused([&] { run(params(), changed); }, {"w_params.scale.dtype() is F64", "F32"});
  expect_refused(
      [&] {
        int8_linear(codes(8), params(), codes(12), params(), shape,
                    ConstDeviceTensorView(scale_, DType::kF16, Shape{3}), {}, matrix(y_, 2, 3),
                    context(), stream());
      },
      {"bias.dtype() is F16", "F32"});
}

TEST_F(DeviceProducts, ParametersOfAnFp8LayerThatDoNotFitAreRefused) {
  const auto run = [&](Format x_format, Format w_format, DType dtype) {
    DeviceQuantParams of_x = params();
    DeviceQuantParams of_w = params();
    of_x.quantizer.format = x_format;
    of_w.quantizer.format = w_format;
    fp8_linear(codes(8), of_x, codes(12), of_w, {2, 3, 4}, {}, {y_, dtype, Shape{2, 3}}, context(),
               stream());
  };
  expect_refused([&] { run(Format::kInt8, Format::kE4M3, DType::kF32); },
                 {"x_params.quantizer.format is int8", "e4m3 or e5m2"});
  expect_refused([&] { run(Format::kE5M2, Format::kE5M2, DType::kF32); },
                 {"w_params.quantizer.format is e5m2", "e4m3 where x is e5m2"});
  expect_refused([&] { run(Format::kE4M3, Format::kE4M3, DType::kF64); }, {"y.dtype() is F64"});
  DeviceQuantParams affine = params();
  affine.quantizer.format = Format::kE4M3;
  affine.zero_point = {static_cast<const std::int32_t*>(scale_), 1};
  expect_refused(
      [&] {
        fp8_linear(codes(8), affine, codes(12), affine, {2, 3, 4}, {}, matrix(y_, 2, 3), context(),
                   stream());
      },
      {"x_params.zero_point.size() is 1", "FP8 has no zero point"});
}

/// The data of a graph's launch are those that are there when it runs.
TEST_F(DeviceProducts, AGraphReadsWhatIsThereWhenItRuns) {
  set_device_order(0);
  const Placed x(Codes(17 * 33, 1));
  const Placed w(Codes(9 * 33, 1));
  const Placed product(std::vector<std::int32_t>(17 * 9));
  const auto run = [&] {
    int8_gemm(x.span<const std::uint8_t>(), w.span<const std::uint8_t>(), {17, 9, 33},
              product.span<std::int32_t>(), context(), stream());
  };
  run();
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  const CapturedGraph graph(run, device_under_test().stream);
  const Codes twos(17 * 33, 2);
  ASSERT_EQ(cudaMemcpy(x.as<void>(), twos.data(), twos.size(), cudaMemcpyHostToDevice),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(product.content<std::int32_t>(), std::vector<std::int32_t>(17 * 9, 33));
  graph.run();
  EXPECT_EQ(product.content<std::int32_t>(), std::vector<std::int32_t>(17 * 9, 66));
}

TEST_F(DeviceProducts, TheFirstOfAContextIsNotCaptured) {
  set_device_order(0);
  const DeviceContext fresh;
  const auto run = [&] {
    int8_gemm(codes(16), codes(16), {1, 1, 16}, {static_cast<std::int32_t*>(y_), 1}, fresh,
              stream());
  };
  {
    const CapturedGraph graph(
        [&] {
          expect_invalid(run, {"stream is captured", "first product of a context"});
        },
        device_under_test().stream);
  }
  run();
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  // A shape that is new is.
  const CapturedGraph graph(
      [&] {
        int8_gemm(codes(32), codes(32), {2, 2, 16}, {static_cast<std::int32_t*>(y_), 4}, fresh,
                  stream());
      },
      device_under_test().stream);
  graph.run();
}

/// Also by f32 alone: no TF32, whose products of numbers of 24 bits are of 11.
TEST_F(DeviceProducts, OfF32KeepAllBits) {
  set_device_order(0);
  const std::vector<float> left{1.0f + 0x1p-23f, 1.0f};
  const std::vector<float> right{1.0f, 0x1p-20f};
  const Placed a(left);
  const Placed b(right);
  const Placed y(std::vector<float>(1));
  run_product([&] {
    gemm({a.as<void>(), DType::kF32, Shape{1, 2}}, Transpose::kNo,
         {b.as<void>(), DType::kF32, Shape{2, 1}}, Transpose::kNo,
         {y.as<void>(), DType::kF32, Shape{1, 1}}, context(), stream());
  });
  EXPECT_EQ(y.content<float>(), std::vector<float>(1, 1.0f + 0x1p-23f + 0x1p-20f));
}

/// 512 products of 1, which bf16 alone counts to 256, and 4096, which f16 counts to 2048.
TEST_F(DeviceProducts, Of16BitsAreSummedInF32) {
  set_device_order(0);
  for (const auto& [dtype, k] : {std::pair(DType::kBF16, 512), std::pair(DType::kF16, 4096)}) {
    const Placed a(to_bytes(dtype, std::vector<double>(static_cast<std::size_t>(k), 1.0)));
    const Placed y(Bytes(2));
    run_product([&, dtype = dtype, k = k] {
      const ConstDeviceTensorView row(a.as<void>(), dtype, Shape{1, k});
      gemm(row, Transpose::kNo, row, Transpose::kYes, {y.as<void>(), dtype, Shape{1, 1}}, context(),
           stream());
    });
    EXPECT_EQ(to_doubles(dtype, y.content<std::byte>()), std::vector<double>(1, k));
  }
}

/// The executor's suite has what it is of every shape.
TEST_F(DeviceProducts, SayWhatScratchMemoryAPieceOfAllTakes) {
  EXPECT_EQ(product_workspace_bytes({0, 4, 4}), 0u);
  EXPECT_GE(product_workspace_bytes({100, 200, 300}), std::size_t{4 * 100 * 200 + 300 * 300});
  EXPECT_LE(product_workspace_bytes({100, 200, 300}), std::size_t{300'000});
  expect_invalid([] { static_cast<void>(product_workspace_bytes({1, -1, 1})); }, {"shape.n is -1"});
}

}  // namespace
}  // namespace cuqat::test
