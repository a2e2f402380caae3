// a * b + c with one rounding, on CPU and GPU alike. The compilers are kept from fusing by
// themselves.
#pragma once

#include "cuqat/host_device.hpp"

namespace cuqat::scalar {

CUQAT_HD float fused_multiply_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return ::__fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}
CUQAT_HD double fused_multiply_add(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return ::__fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

}  // namespace cuqat::scalar
