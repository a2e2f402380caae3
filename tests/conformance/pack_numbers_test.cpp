// Packs as numbers: every pattern of two bytes, and f32 around the edges of its classes.
#include "pack_numbers.cuh"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "extremes.cuh"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

template <typename T>
T element_of(std::uint64_t random);
template <>
bfloat16 element_of<bfloat16>(std::uint64_t random) {
  return {static_cast<std::uint16_t>(random >> 48)};
}
template <>
float16 element_of<float16>(std::uint64_t random) {
  return {static_cast<std::uint16_t>(random >> 48)};
}
template <>
float element_of<float>(std::uint64_t random) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(random >> 32));
}

template <typename T>
class PackNumbers : public testing::Test {};
using Types = testing::Types<float, bfloat16, float16>;
TYPED_TEST_SUITE(PackNumbers, Types);

/// Both answers about a pack, from its elements.
template <typename T>
void expect_defined(const gpu::Pack<T>& pack) {
  bool finite = true;
  std::uint32_t zeros = 0;
  for (const T element : pack.element) {
    const float value = scalar::load_compute(element);
    finite = finite && std::isfinite(value);
    zeros += value == 0.0f ? 1 : 0;
  }
  ASSERT_EQ(gpu::all_finite(pack), finite);
  ASSERT_EQ(gpu::num_zeros(pack), zeros);
}

TYPED_TEST(PackNumbers, EveryPatternAtEveryPlace) {
  for (std::uint64_t pattern = 0; pattern < 0x10000; ++pattern) {
    for (int place = 0; place < gpu::kPackElements; ++place) {
      gpu::Pack<TypeParam> pack{};
      for (auto& element : pack.element) element = element_of<TypeParam>(0x3f81ull << 48);
      pack.element[place] = element_of<TypeParam>(pattern << 48);
      expect_defined(pack);
      if (this->HasFatalFailure()) return;
    }
  }
}

TYPED_TEST(PackNumbers, AnyPatternsSideBySide) {
  Random random(6);
  for (int i = 0; i < 200'000; ++i) {
    gpu::Pack<TypeParam> pack{};
    for (auto& element : pack.element) {
      const std::uint64_t bits = random();
      const std::uint64_t zero = random() >> 62 == 0 ? 0x8000ull << 48 : 0;
      element = element_of<TypeParam>(random() >> 63 == 0 ? bits : bits & zero);
    }
    expect_defined(pack);
    if (this->HasFatalFailure()) return;
  }
}

/// One element at each place, others that are inside.
TYPED_TEST(PackNumbers, ABoundHoldsTheFiniteUpToIt) {
  Random random(8);
  for (int i = 0; i < 40'000; ++i) {
    const auto any = std::bit_cast<float>(static_cast<std::uint32_t>(random() >> 33));
    const TypeParam element = element_of<TypeParam>(random());
    const float value = scalar::load_compute(element);
    const float size = std::abs(value);
    for (const float largest :
         {any, size, std::nextafter(size, 0.0f), std::nextafter(size, 1e38f), 0.0f,
          std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity()}) {
      if (std::isnan(largest)) continue;
      gpu::Pack<TypeParam> pack{};
      pack.element[i % gpu::kPackElements] = element;
      ASSERT_EQ(gpu::MagnitudeBound<TypeParam>(largest).holds_all(pack),
                std::isfinite(value) && size <= largest)
          << value << " and " << largest;
    }
  }
}

TYPED_TEST(PackNumbers, ExtremesAreThoseOfTheElements) {
  Random random(9);
  for (int i = 0; i < 20'000; ++i) {
    gpu::PackExtremes<TypeParam> extremes;
    float low = std::numeric_limits<float>::infinity();
    float high = -low;
    EXPECT_GT(extremes.result().low, extremes.result().high);
    for (int p = 0; p < 3; ++p) {
      gpu::Pack<TypeParam> pack{};
      for (auto& element : pack.element) {
        element = element_of<TypeParam>(random());
        if (!std::isfinite(scalar::load_compute(element))) element = TypeParam{};
        low = std::fmin(low, scalar::load_compute(element));
        high = std::fmax(high, scalar::load_compute(element));
      }
      extremes.add(pack);
    }
    ASSERT_EQ(extremes.result().low, low);
    ASSERT_EQ(extremes.result().high, high);
  }
}

TYPED_TEST(PackNumbers, WidenAndNarrowAreTheScalarConversions) {
  Random random(7);
  for (int i = 0; i < 200'000; ++i) {
    gpu::Pack<TypeParam> pack{};
    for (auto& element : pack.element) element = element_of<TypeParam>(random());
    if (!gpu::all_finite(pack)) continue;
    float value[gpu::kPackElements];
    gpu::widen(pack, value);
    for (int k = 0; k < gpu::kPackElements; ++k) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(value[k]),
                std::bit_cast<std::uint32_t>(scalar::load_compute(pack.element[k])));
      value[k] *= 1.0009765f;
    }
    const gpu::Pack<TypeParam> narrow = gpu::narrow<TypeParam>(value);
    for (int k = 0; k < gpu::kPackElements; ++k) {
      ASSERT_EQ(scalar::load_compute(narrow.element[k]),
                scalar::load_compute(scalar::store_compute<TypeParam>(value[k])));
    }
  }
}

}  // namespace
}  // namespace cuqat::test
