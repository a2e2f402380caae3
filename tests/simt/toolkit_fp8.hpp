// The host path of the CUDA toolkit's cuda_fp8.h, out of reach of the executor's header of that
// name.
#pragma once

#include <array>
#include <cstdint>

namespace simt::toolkit {

enum class Fp8 { kE4M3, kE5M2 };

/// __nv_cvt_float2_to_fp8x2, saturating: the first number's code is the low byte.
std::uint16_t fp8_pair(float low, float high, Fp8 format);

/// __half22float2 of __nv_cvt_fp8x2_to_halfraw2.
std::array<float, 2> numbers_of(std::uint16_t pair, Fp8 format);

}  // namespace simt::toolkit
