#include "toolkit_fp8.hpp"

#include <cuda_fp8.h>

namespace simt::toolkit {
namespace {

__nv_fp8_interpretation_t interpretation(Fp8 format) {
  return format == Fp8::kE4M3 ? __NV_E4M3 : __NV_E5M2;
}

}  // namespace

std::uint16_t fp8_pair(float low, float high, Fp8 format) {
  return __nv_cvt_float2_to_fp8x2(float2{low, high}, __NV_SATFINITE, interpretation(format));
}

std::array<float, 2> numbers_of(std::uint16_t pair, Fp8 format) {
  const float2 numbers =
      __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, interpretation(format))));
  return {numbers.x, numbers.y};
}

}  // namespace simt::toolkit
