// All f32 patterns to FP8, against the host path of NVIDIA's cuda_fp8.h. The two differ by design
// in the sign of a NaN, which that header may drop: NaN is compared as NaN.
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "cuqat/scalar/fp8_codec.hpp"
#include "scalar/sweep.hpp"

namespace cuqat::test {
namespace {

template <Format kFormat>
bool is_nan_code(std::uint32_t code) {
  return (code & 0x7f) > (kFormat == Format::kE4M3 ? 0x7e : 0x7c);
}

template <Format kFormat, bool kSaturate>
void sweep_format() {
  announce_stride();
  constexpr __nv_fp8_interpretation_t kKind = kFormat == Format::kE4M3 ? __NV_E4M3 : __NV_E5M2;
  constexpr __nv_saturation_t kSaturation = kSaturate ? __NV_SATFINITE : __NV_NOSAT;
  expect_no_mismatch(sweep([] {
    return [](const Patterns& patterns, Verdicts& right) {
      Patterns codes;
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        codes[i] = scalar::fp8_encode<kFormat>(scalar::from_bits(patterns[i]), kSaturate);
      }
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        const std::uint32_t vendor =
            __nv_cvt_float_to_fp8(scalar::from_bits(patterns[i]), kSaturation, kKind);
        right[i] =
            codes[i] == vendor || (is_nan_code<kFormat>(codes[i]) && is_nan_code<kFormat>(vendor));
      }
    };
  }));
}

TEST(EveryF32ToE4M3, SaturatingIsTheVendors) { sweep_format<Format::kE4M3, true>(); }
TEST(EveryF32ToE4M3, NotSaturatingIsTheVendors) { sweep_format<Format::kE4M3, false>(); }
TEST(EveryF32ToE5M2, SaturatingIsTheVendors) { sweep_format<Format::kE5M2, true>(); }
TEST(EveryF32ToE5M2, NotSaturatingIsTheVendors) { sweep_format<Format::kE5M2, false>(); }

}  // namespace
}  // namespace cuqat::test
