// Which bin a number is in.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/host_device.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/entropy.hpp"

namespace cuqat::gpu {

/// Bins of equal width over [0, amax], or [-amax, amax]: docs/numerics.md, "Bins of a linear
/// histogram". A magnitude times a power of two, divided, is rounded once, and never up to a whole
/// number.
struct EqualBins {
  int half;  ///< Bins of a sign.
  bool of_magnitudes;

  __device__ unsigned bin(float x, double amax) const {
    const double position = scalar::magnitude(static_cast<double>(x)) * half / amax;
    const int down = static_cast<int>(position);
    const int last = half - 1;
    if (of_magnitudes) return static_cast<unsigned>(down < last ? down : last);
    if (x >= 0.0f) return static_cast<unsigned>(half + (down < last ? down : last));
    const int up = down + (static_cast<double>(down) < position || down == 0 ? 1 : 0);
    return static_cast<unsigned>(half - up);
  }
};

/// Those of an entropy, by modelopt's rule and by ONNX Runtime's.
CUQAT_HD constexpr EqualBins magnitude_bins() { return {scalar::kEntropyBins, true}; }
CUQAT_HD constexpr EqualBins value_bins() { return {scalar::kEntropyBins / 2, false}; }

/// Bins of magnitudes by the upper half of the pattern of x * 2^-exponent: of equal width relative
/// to the magnitude. The exponent is 0 but where amax is so small that f32 has no more leading
/// bits.
struct RelativeBins {
  __device__ static int exponent(double amax) {
    if (amax >= scalar::kLeastRelativeAmax || amax == 0.0) return 0;
    return static_cast<int>(scalar::to_bits(amax) >> 52) - 1023;
  }
  __device__ static double power_of_two(int exponent) {
    return scalar::from_bits(static_cast<std::uint64_t>(exponent + 1023) << 52);
  }
  __device__ unsigned bin(float x, double amax) const {
    const auto scaled = static_cast<float>(scalar::magnitude(static_cast<double>(x)) *
                                           power_of_two(-exponent(amax)));
    return scalar::to_bits(scaled) >> 16;
  }
};

}  // namespace cuqat::gpu
