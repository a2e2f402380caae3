// FP8 conversion by pairs and by the scalar code give the same bits. Architectures before sm_89
// have only the latter, so this is what speaks for them: kernels differ in nothing else.
#include "fp8_pair.cuh"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/sanitizer.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

using gpu::kPackElements;
using gpu::Pack;

static_assert(gpu::kHasFp8Pairs, "kernels on the executor convert by pairs");

struct Values {
  float value[kPackElements];
};

bool is_same_number(float a, float b) {
  return scalar::to_bits(a) == scalar::to_bits(b) || (scalar::is_nan(a) && scalar::is_nan(b));
}

template <Format kFormat, bool kByPairs>
void expect_scalar_bits(const Values& values) {
  const Pack<std::uint8_t> codes = gpu::fp8_encode_pack<kFormat, kByPairs>(values.value);
  Values rounded = values;
  gpu::fp8_round_pack<kFormat, kByPairs>(rounded.value);
  for (int i = 0; i < kPackElements; ++i) {
    const float value = values.value[i];
    if (scalar::is_nan(value)) continue;
    ASSERT_TRUE(codes.element[i] == scalar::fp8_encode<kFormat>(value, true) &&
                is_same_number(rounded.value[i], scalar::fp8_round<kFormat>(value, true)))
        << "by " << (kByPairs ? "pairs" : "the scalar code") << ", position " << i << ": " << value
        << " = 0x" << std::hex << scalar::to_bits(value) << " gives 0x" << +codes.element[i]
        << " and " << rounded.value[i];
  }
}

class Fp8Pair : public testing::TestWithParam<Format> {
 protected:
  static Format format() { return GetParam(); }

  static void expect_scalar_bits_by_both_paths(const Values& values) {
    if (format() == Format::kE4M3) {
      expect_scalar_bits<Format::kE4M3, true>(values);
      expect_scalar_bits<Format::kE4M3, false>(values);
    } else {
      expect_scalar_bits<Format::kE5M2, true>(values);
      expect_scalar_bits<Format::kE5M2, false>(values);
    }
  }

  /// One number among others, in each place.
  static void expect_scalar_bits_in_every_place(float value) {
    for (int place = 0; place < kPackElements; ++place) {
      Values values = {1.0f, -0.3f, 2.5f, 0.0f, -0.0f, 7e-3f, -100.0f, 1.0625f};
      values.value[place] = value;
      expect_scalar_bits_by_both_paths(values);
    }
  }
};

TEST_P(Fp8Pair, GivesTheScalarBitsForEveryBf16) {
  for (std::uint32_t upper = 0; upper < 0x1'0000u; ++upper) {
    expect_scalar_bits_in_every_place(scalar::from_bits(upper << 16));
    if (HasFatalFailure()) return;
  }
}

TEST_P(Fp8Pair, GivesTheScalarBitsBesideEveryNumberAndTie) {
  const SmallFloat& type = format() == Format::kE4M3 ? kE4M3 : kE5M2;
  const std::uint32_t largest = largest_pattern(type);
  std::vector<double> numbers = {0x1p-149, 0x1p-126, 0x1p127, 464.0, 61440.0};
  for (std::uint32_t code = 0; code <= largest; ++code) {
    const double number = decode(type, code);
    const double next = code < largest ? decode(type, code + 1) : number;
    for (const double x : {number, (number + next) / 2}) numbers.push_back(x);
  }
  for (const double number : numbers) {
    const std::uint32_t bits = scalar::to_bits(static_cast<float>(number));
    for (const std::uint32_t step : {0xffff'ffffu, 0u, 1u}) {
      for (const std::uint32_t sign : {0u, 0x8000'0000u}) {
        expect_scalar_bits_in_every_place(scalar::from_bits((bits + step) ^ sign));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Fp8Pair, GivesTheScalarBitsForASampleOfEveryF32) {
  constexpr std::uint64_t kStride = kSanitized ? 1021 : 127;  // prime: all low bits come up
  for (std::uint64_t pattern = 0; pattern < 0x1'0000'0000u;) {
    Values values;
    for (float& value : values.value) {
      value = scalar::from_bits(static_cast<std::uint32_t>(pattern));
      pattern += kStride;
    }
    expect_scalar_bits_by_both_paths(values);
    if (HasFatalFailure()) return;
  }
}

template <Format kFormat, bool kByPairs>
void expect_scalar_numbers() {
  for (std::uint32_t pair = 0; pair < 0x1'0000u; ++pair) {
    Pack<std::uint8_t> codes;
    for (int i = 0; i < kPackElements; ++i) {
      codes.element[i] = static_cast<std::uint8_t>(pair >> (i % 2 * 8));
    }
    Values values;
    gpu::fp8_decode_pack<kFormat, kByPairs>(codes, values.value);
    for (int i = 0; i < kPackElements; ++i) {
      const float expected = scalar::fp8_decode<kFormat, float>(codes.element[i]);
      ASSERT_TRUE(is_same_number(values.value[i], expected)) << std::hex << +codes.element[i];
    }
  }
}

TEST(Fp8PairOfCodes, GivesTheScalarNumbers) {
  expect_scalar_numbers<Format::kE4M3, true>();
  expect_scalar_numbers<Format::kE4M3, false>();
  expect_scalar_numbers<Format::kE5M2, true>();
  expect_scalar_numbers<Format::kE5M2, false>();
}

INSTANTIATE_TEST_SUITE_P(BothFormats, Fp8Pair, testing::Values(Format::kE4M3, Format::kE5M2),
                         [](const auto& format) { return std::string(to_string(format.param)); });

}  // namespace
}  // namespace cuqat::test
