// Division of many numbers by one scale: a multiplication and two fused steps in place of the
// division that a GPU has no instruction for. For kernels; a CPU divides as fast.
#pragma once

#include "cuqat/scalar/fused_multiply_add.hpp"
#include "cuqat/scalar/rounding.hpp"

namespace cuqat::scalar {

/// Quotients with the bits of x / divisor, but for those that round to 0 in every quantizer.
///
/// With y the rounded reciprocal and q0 = x * y, q0 + (x - q0 * divisor) * y is the correctly
/// rounded quotient. Source of the method: Markstein, "Computation of elementary functions on the
/// IBM RISC System/6000 processor", IBM J. Res. Dev. 34(1), 1990. Before the last rounding it is
/// off by less than 3.5 * 2^-24 units in the last place (q0 by 1.5 units, of which the fused steps
/// leave 2^-24, and the remainder by one rounding), so only a quotient nearer than that to the
/// middle of two numbers could be rounded wrongly. SharedDivisor.IsExactWhereItIsHardest tries all
/// pairs of significands that have one.
class SharedDivisor {
 public:
  /// No step overflows up to this magnitude.
  static constexpr float kLargestQuotient = 0x1p126f;

  SharedDivisor() = default;
  CUQAT_HD explicit SharedDivisor(float divisor) : divisor_(divisor), reciprocal_(1.0f / divisor) {}

  /// Between these none underflows where the quotient is 2^-30 or more.
  CUQAT_HD static bool is_ordinary(float divisor) {
    return divisor >= 0x1p-70f && divisor <= 0x1p70f;
  }

  /// x / divisor where its magnitude is in [2^-30, kLargestQuotient]; a number below 2^-25, perhaps
  /// of the other sign, for smaller ones. The divisor is ordinary.
  [[nodiscard]] CUQAT_HD float quotient(float x) const {
    const float near = x * reciprocal_;
    const float rest = fused_multiply_add(-near, divisor_, x);
    return fused_multiply_add(rest, reciprocal_, near);
  }

 private:
  float divisor_;
  float reciprocal_;
};

}  // namespace cuqat::scalar
