// Products of real numbers: f64 has the bits of its definition, the others stay within their bound.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "cuqat/gemm.hpp"
#include "gemm/gemm_tables.hpp"
#include "host/expect_invalid.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// A matrix of some dtype at some address, and its elements.
class Matrix {
 public:
  Matrix(DType dtype, std::int64_t rows, std::int64_t columns, std::uint64_t seed,
         std::size_t offset = 0)
      : dtype_(dtype), shape_{rows, columns}, offset_(offset) {
    Random random(seed);
    std::vector<double> values(static_cast<std::size_t>(rows * columns));
    for (double& value : values) value = random.normal();
    const Bytes bytes = to_bytes(dtype, values);
    values_ = to_doubles(dtype, bytes);
    memory_.resize(offset);
    memory_.insert(memory_.end(), bytes.begin(), bytes.end());
  }
  [[nodiscard]] ConstTensorView view() const { return {memory_.data() + offset_, dtype_, shape_}; }
  /// Element of the matrix, or of its transpose.
  [[nodiscard]] double at(bool transposed, std::int64_t row, std::int64_t column) const {
    return values_[static_cast<std::size_t>(transposed ? column * shape_[1] + row
                                                       : row * shape_[1] + column)];
  }

 private:
  DType dtype_;
  Shape shape_;
  std::size_t offset_;
  Bytes memory_;
  std::vector<double> values_;
};

struct Product {
  GemmShape shape;
  bool a_transposed;
  bool b_transposed;
  DType dtype;
  DType y_dtype;
  std::size_t offset = 0;  ///< Bytes past an aligned address, of all three.
};

void expect_product(const detail::OperationTable& table, const Product& product, int num_threads) {
  const auto& [shape, a_transposed, b_transposed, dtype, y_dtype, offset] = product;
  const Matrix a(dtype, a_transposed ? shape.k : shape.m, a_transposed ? shape.m : shape.k, 31,
                 offset);
  const Matrix b(dtype, b_transposed ? shape.n : shape.k, b_transposed ? shape.k : shape.n, 32,
                 offset);
  const auto count = static_cast<std::size_t>(shape.m * shape.n);
  Bytes memory(offset + count * dtype_bytes(y_dtype), std::byte{0x5a});
  table.gemm({a.view().data(), a_transposed, b.view().data(), b_transposed, shape, dtype, y_dtype,
              nullptr, num_threads},
             memory.data() + offset);
  const std::vector<double> y = to_doubles(y_dtype, std::span(memory).subspan(offset));
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        const double term = a.at(a_transposed, i, k) * b.at(b_transposed, k, j);
        sum += term;
        size += std::abs(term);
      }
      const double found = y[static_cast<std::size_t>(i * shape.n + j)];
      if (dtype == DType::kF64) {
        ASSERT_EQ(found, sum) << table_name(table);
        continue;
      }
      const double of_y = y_dtype == DType::kF32 ? 0.0 : y_dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
      const double bound = static_cast<double>(shape.k + 2) * 0x1p-24 * size;
      ASSERT_LE(std::abs(found - sum), bound + of_y * (std::abs(sum) + bound) + 1e-12 * size)
          << table_name(table) << ", " << shape.m << " x " << shape.n << " x " << shape.k;
    }
  }
}

class Gemm : public testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  static void expect_all(const Product& product) {
    for (const auto* table : multiplying_tables()) {
      for (const int num_threads : {1, 3}) {
        expect_product(*table, product, num_threads);
        ASSERT_FALSE(HasFatalFailure()) << num_threads;
      }
    }
  }
  [[nodiscard]] static Product product(const GemmShape& shape, bool a_transposed,
                                       bool b_transposed) {
    const auto [dtype, y_dtype] = GetParam();
    return {shape, a_transposed, b_transposed, dtype, y_dtype};
  }
};

TEST_P(Gemm, IsTheProductForEveryTransposeAndShape) {
  for (const std::int64_t m : {0, 1, 7, 9, 65}) {
    for (const std::int64_t n : {0, 1, 17, 300}) {
      if (kSanitized && n == 300 && m != 9) continue;
      for (const std::int64_t k : {0, 1, 33, 127}) {
        for (const bool a_transposed : {false, true}) {
          for (const bool b_transposed : {false, true}) {
            expect_all(product({m, n, k}, a_transposed, b_transposed));
            ASSERT_FALSE(HasFatalFailure());
          }
        }
      }
    }
  }
}

TEST_P(Gemm, TakesAnyAddress) {
  for (const std::size_t offset : {1u, 2u, 4u, 7u}) {
    Product shifted = product({5, 19, 21}, false, true);
    shifted.offset = offset;
    expect_all(shifted);
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryDType, Gemm,
    testing::Values(std::tuple(DType::kF32, DType::kF32), std::tuple(DType::kF64, DType::kF64),
                    std::tuple(DType::kBF16, DType::kBF16), std::tuple(DType::kF16, DType::kF16),
                    std::tuple(DType::kBF16, DType::kF32), std::tuple(DType::kF16, DType::kF32)),
    [](const auto& types) {
      return std::string(to_string(std::get<0>(types.param))) + "_to_" +
             std::string(to_string(std::get<1>(types.param)));
    });

TEST(GemmOfSpecialNumbers, LetsThemThrough) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> a{1.0f, kInfinity, 0.0f, -kInfinity, 2.0f, NAN};
  const std::vector<float> b{1.0f, 2.0f};
  for (const char* const name : {"reference", "cpu"}) {
    std::vector<float> y(3);
    gemm({a.data(), Shape{3, 2}}, Transpose::kNo, {b.data(), Shape{1, 2}}, Transpose::kYes,
         {y.data(), Shape{3, 1}}, {Backend::named(name), 1});
    EXPECT_EQ(y[0], kInfinity) << name;
    EXPECT_EQ(y[1], -kInfinity) << name;
    EXPECT_TRUE(std::isnan(y[2])) << name;
  }
}

TEST(GemmOfSpecialNumbers, RunsAgainHaveTheSameBits) {
  const Matrix a(DType::kF32, 60, 700, 33);
  const Matrix b(DType::kF32, 50, 700, 34);
  std::vector<float> first(3000);
  std::vector<float> again(3000);
  const auto run = [&](std::vector<float>& y) {
    gemm(a.view(), Transpose::kNo, b.view(), Transpose::kYes, {y.data(), Shape{60, 50}},
         {Backend::automatic(), 2});
  };
  run(first);
  for (int i = 0; i < 20; ++i) {
    run(again);
    ASSERT_EQ(again, first);
  }
}

TEST(GemmRefuses, WhatDoesNotFitTogether) {
  std::vector<float> numbers(6, 1.0f);
  const ConstTensorView a(numbers.data(), Shape{2, 3});
  std::vector<float> memory(4, 77.0f);
  const TensorView y(memory.data(), Shape{2, 2});
  const auto refused = [&](ConstTensorView left, Transpose of_left, ConstTensorView right,
                           Transpose of_right, TensorView result, std::string_view part) {
    expect_invalid([&] { gemm(left, of_left, right, of_right, result); }, {part});
    EXPECT_EQ(memory, std::vector<float>(4, 77.0f));
  };
  constexpr auto kNo = Transpose::kNo;
  constexpr auto kYes = Transpose::kYes;
  refused(a, kNo, a, kNo, y, "the summed extent of b is 2; it must be that of a, 3");
  refused(a, kNo, ConstTensorView(numbers), kYes, y, "b.shape() is [6]; it must be of rank 2");
  refused(a, kNo, a, kYes, {memory.data(), Shape{4, 1}}, "y.shape() is [4, 1]");
  refused(a, kNo, {numbers.data(), DType::kBF16, Shape{2, 3}}, kYes, y, "b.dtype() is BF16");
  refused(a, kNo, a, kYes, {memory.data(), DType::kF16, Shape{2, 2}}, "y.dtype() is F16");
  refused(a, static_cast<Transpose>(2), a, kYes, y, "of_a is 2");
  const TensorView inside(numbers.data(), Shape{2, 2});
  expect_invalid([&] { gemm(a, kNo, a, kYes, inside); }, {"y is in memory that a uses"});
  gemm(a, kNo, a, kYes, y);
  EXPECT_EQ(memory, std::vector<float>(4, 3.0f));
}

}  // namespace
}  // namespace cuqat::test
