// The step of an exponential moving average.
#pragma once

#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// average + momentum * (value - average), each operation rounded once; in another form where the
/// difference is past the largest number. A momentum of 1 gives the value itself.
CUQAT_HD double moved_average(double average, double value, double momentum) {
  if (momentum == 1.0) return value;
  const double moved = average + momentum * (value - average);
  return is_finite(moved) ? moved : average * (1.0 - momentum) + value * momentum;
}

}  // namespace cuqat::scalar
