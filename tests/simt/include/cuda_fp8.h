// Stands in front of the CUDA toolkit's header of this name: the conversions that kernels use, as
// the PTX ISA and the toolkit's documentation describe them. Written from that description, by real
// arithmetic and search, so that it judges the kernels' use of them; the toolkit's own host path is
// compared with it where there is a toolkit (fp8_toolkit_test.cpp).
//
// A NaN becomes the code or the half of all ones with sign 0, which is what the toolkit's host path
// gives. PTX only says that it is a NaN.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cmath>

/// Without saturation there is no instruction, so that mode is missing.
enum __nv_saturation_t { __NV_SATFINITE = 1 };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
using __nv_fp8x2_storage_t = unsigned short;

struct __half2_raw {
  unsigned short x, y;
};

/// Two halves, as bits.
struct __half2 {
  explicit __half2(const __half2_raw& raw) : bits(raw) {}
  __half2_raw bits;
};

namespace simt {

/// The magnitudes of an FP8 format in rising order, code by code.
struct Fp8Numbers {
  int mantissa_bits;
  int bias;
  int num_finite;
  std::array<double, 128> limit{};  ///< Midway from a finite code to the next one.

  constexpr Fp8Numbers(int mantissa_bits_, int bias_, int num_finite_)
      : mantissa_bits(mantissa_bits_), bias(bias_), num_finite(num_finite_) {
    for (int code = 0; code + 1 < num_finite; ++code) {
      limit[static_cast<unsigned>(code)] = (number(code) + number(code + 1)) / 2;
    }
  }

  /// Of a finite code.
  [[nodiscard]] constexpr double number(int code) const {
    const int fraction = code % (1 << mantissa_bits);
    const int exponent = code >> mantissa_bits;
    double result = exponent == 0 ? fraction : fraction + (1 << mantissa_bits);
    int power = (exponent == 0 ? 1 : exponent) - bias - mantissa_bits;
    for (; power > 0; --power) result *= 2;
    for (; power < 0; ++power) result /= 2;
    return result;
  }
};

inline constexpr Fp8Numbers e4m3_numbers(3, 7, 0x7f);
inline constexpr Fp8Numbers e5m2_numbers(2, 15, 0x7c);

inline const Fp8Numbers& fp8_numbers(__nv_fp8_interpretation_t kind) {
  return kind == __NV_E4M3 ? e4m3_numbers : e5m2_numbers;
}

/// To the nearest code, of two as near to the even one; past the largest number, to that one.
inline unsigned fp8_saturated(float value, __nv_fp8_interpretation_t kind) {
  if (std::isnan(value)) return 0x7f;
  const Fp8Numbers& numbers = fp8_numbers(kind);
  const double size = std::fabs(value);
  const double* const begin = numbers.limit.data();
  const double* const end = begin + numbers.num_finite - 1;
  const double* const limit = std::lower_bound(begin, end, size);
  auto code = static_cast<unsigned>(limit - begin);
  if (limit != end && *limit == size && code % 2 == 1) ++code;
  return std::signbit(value) ? code | 0x80u : code;
}

/// The bits of a half: every FP8 number is one.
inline unsigned short half_of_fp8(unsigned code, __nv_fp8_interpretation_t kind) {
  const Fp8Numbers& numbers = fp8_numbers(kind);
  const auto size = static_cast<int>(code & 0x7f);
  const unsigned sign = (code & 0x80) << 8;
  if (size >= numbers.num_finite) {
    const bool infinite = kind == __NV_E5M2 && size == numbers.num_finite;
    return static_cast<unsigned short>(infinite ? sign | 0x7c00 : 0x7fff);
  }
  const double number = numbers.number(size);
  if (number < 0x1p-14) return static_cast<unsigned short>(sign | unsigned(number * 0x1p24));
  const int exponent = std::ilogb(number);
  const auto fraction = static_cast<unsigned>(std::ldexp(number, 10 - exponent)) - 0x400;
  return static_cast<unsigned short>(sign | unsigned(exponent + 15) << 10 | fraction);
}

inline float number_of_half(unsigned short bits) {
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  float size = 0;
  if (exponent == 0x1f) {
    size = fraction != 0 ? NAN : INFINITY;
  } else {
    size = std::ldexp(static_cast<float>(exponent == 0 ? fraction : fraction + 0x400),
                      std::max(exponent, 1) - 25);
  }
  return (bits & 0x8000) != 0 ? -size : size;
}

}  // namespace simt

/// x's code is the low byte.
inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 value, __nv_saturation_t,
                                                     __nv_fp8_interpretation_t kind) {
  return static_cast<__nv_fp8x2_storage_t>(simt::fp8_saturated(value.x, kind) |
                                           simt::fp8_saturated(value.y, kind) << 8);
}

inline __half2_raw __nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t codes,
                                              __nv_fp8_interpretation_t kind) {
  return {simt::half_of_fp8(codes & 0xffu, kind), simt::half_of_fp8(codes >> 8, kind)};
}

inline float2 __half22float2(__half2 halves) {
  return {simt::number_of_half(halves.bits.x), simt::number_of_half(halves.bits.y)};
}
