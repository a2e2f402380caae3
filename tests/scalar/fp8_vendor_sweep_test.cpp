// All f32 patterns to FP8, against the host path of NVIDIA's cuda_fp8.h. The two differ by design
// in the sign of a NaN, which that header may drop: NaN is compared as NaN.
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "cuqat/scalar/fp8_codec.hpp"
#include "scalar/sweep.hpp"

namespace cuqat::test {
namespace {

template <Format kFormat>
bool is_nan_code(std::uint8_t code) {
  return (code & 0x7f) > (kFormat == Format::kE4M3 ? 0x7e : 0x7c);
}

template <Format kFormat>
void sweep_format(bool saturate) {
  announce_stride();
  const __nv_fp8_interpretation_t kind = kFormat == Format::kE4M3 ? __NV_E4M3 : __NV_E5M2;
  const __nv_saturation_t saturation = saturate ? __NV_SATFINITE : __NV_NOSAT;
  expect_no_mismatch(sweep([=] {
    return [=](std::uint32_t pattern) {
      const float value = scalar::from_bits(pattern);
      const std::uint8_t code = scalar::fp8_encode<kFormat>(value, saturate);
      const std::uint8_t vendor = __nv_cvt_float_to_fp8(value, saturation, kind);
      return code == vendor || (is_nan_code<kFormat>(code) && is_nan_code<kFormat>(vendor));
    };
  }));
}

TEST(EveryF32ToE4M3, SaturatingIsTheVendors) { sweep_format<Format::kE4M3>(true); }
TEST(EveryF32ToE4M3, NotSaturatingIsTheVendors) { sweep_format<Format::kE4M3>(false); }
TEST(EveryF32ToE5M2, SaturatingIsTheVendors) { sweep_format<Format::kE5M2>(true); }
TEST(EveryF32ToE5M2, NotSaturatingIsTheVendors) { sweep_format<Format::kE5M2>(false); }

}  // namespace
}  // namespace cuqat::test
