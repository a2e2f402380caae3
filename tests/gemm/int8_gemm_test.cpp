// Products of int8 codes are exact on every backend: for every shape, the extreme codes and the
// largest depth that int32 holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cuqat/gemm.hpp"
#include "gemm/gemm_tables.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// As the definition has it, in 64 bits.
std::vector<std::int64_t> exact_product(const Codes& x, const Codes& w, const GemmShape& shape) {
  std::vector<std::int64_t> product;
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        sum += std::int64_t{as_int8(x)[i * shape.k + k]} * as_int8(w)[j * shape.k + k];
      }
      product.push_back(sum);
    }
  }
  return product;
}

void expect_exact(const Codes& x, const Codes& w, const GemmShape& shape,
                  std::initializer_list<int> all_num_threads = {1, 3}) {
  const std::vector<std::int64_t> expected = exact_product(x, w, shape);
  for (const auto* table : multiplying_tables()) {
    for (const int num_threads : all_num_threads) {
      std::vector<std::int32_t> found(expected.size() + 1, 77);  // the last is not written
      table->int8_gemm({as_int8(x), as_int8(w), shape, num_threads}, found.data());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), found.begin()))
          << table_name(*table) << ", " << shape.m << " x " << shape.n << " x " << shape.k << ", "
          << num_threads << " threads";
      ASSERT_EQ(found.back(), 77);
    }
  }
}

TEST(Int8Gemm, IsExactForEveryOddShape) {
  const Codes x = some_codes(71 * 71, 1);
  const Codes w = some_codes(71 * 71, 2);
  for (std::int64_t m = 1; m < 70; m += 2) {
    for (std::int64_t n = 1; n < 70; n += 2) {
      for (std::int64_t k = 1; k < 70; k += 2) {
        if (kSanitized && (m + 3 * n + 5 * k) % 16 != 1) continue;  // a sample
        expect_exact(x, w, {m, n, k}, {1});
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST(Int8Gemm, IsExactForShapesAroundItsBlocks) {
  for (const std::int64_t m : {0, 1, 7, 8, 9, 48, 65}) {
    for (const std::int64_t n : {0, 1, 15, 16, 17, 33}) {
      for (const std::int64_t k : {0, 1, 63, 64, 65, 384, 1031}) {
        expect_exact(some_codes(m * k, 3), some_codes(n * k, 4), {m, n, k});
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

/// Most of them negative, so that sums grow with the depth, and no two alike.
Codes growing_codes(std::int64_t count, std::uint64_t seed) {
  Codes codes = some_codes(count, seed);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (i % 3 != 0) codes[i] |= 0x80;
  }
  return codes;
}

TEST(Int8Gemm, IsExactForLargeSumsOfEveryLowBit) {
  const GemmShape shapes[] = {{65, 67, 131},   {129, 65, 515},  {130, 71, 1025},  {33, 2, 70'001},
                              {3, 5, 131'071}, {1, 64, 65'537}, {35, 37, 131'071}};
  for (const GemmShape& shape : shapes) {
    expect_exact(growing_codes(shape.m * shape.k, 9), growing_codes(shape.n * shape.k, 10), shape);
    ASSERT_FALSE(HasFatalFailure());
  }
}

/// Where sums of two products saturate 16 bits, or a sum 32.
TEST(Int8Gemm, IsExactForTheExtremeCodes) {
  for (const std::int64_t k : {2, 64, 1024, 65'537, 131'071}) {
    for (const std::uint8_t x : Codes{0x80, 0x7f}) {
      for (const std::uint8_t w : Codes{0x80, 0x7f}) {
        const auto rows = static_cast<std::size_t>(k);
        expect_exact(Codes(3 * rows, x), Codes(5 * rows, w), {3, 5, k});
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST(Int8Gemm, TakesCodesAtAnyAddress) {
  const Codes x = some_codes(9 * 67 + 16, 5);
  const Codes w = some_codes(10 * 67 + 16, 6);
  for (const std::size_t offset : {1u, 3u, 8u, 15u}) {
    const Codes shifted_x(x.begin() + static_cast<std::ptrdiff_t>(offset), x.end());
    const std::vector<std::int64_t> expected = exact_product(shifted_x, w, {9, 10, 67});
    for (const auto* table : multiplying_tables()) {
      std::vector<std::int32_t> found(expected.size());
      table->int8_gemm({as_int8(x) + offset, as_int8(w), {9, 10, 67}, 2}, found.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin()))
          << table_name(*table) << ", " << offset;
    }
  }
}

TEST(Int8Gemm, IsWhatThePublicFunctionGives) {
  const GemmShape shape{4, 5, 6};
  const Codes x = some_codes(24, 7);
  const Codes w = some_codes(30, 8);
  const std::vector<std::int64_t> expected = exact_product(x, w, shape);
  for (const char* const name : {"cpu", "reference"}) {
    std::vector<std::int32_t> found(expected.size());
    int8_gemm(x, w, shape, found, {Backend::named(name), 0});
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found.begin())) << name;
  }
}

}  // namespace
}  // namespace cuqat::test
