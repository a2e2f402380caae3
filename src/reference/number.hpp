// Elements in memory, as exact f64 values.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"

namespace cuqat::reference {

/// Element `index` of an array of this dtype. f64 holds every value of every dtype; a NaN keeps its
/// sign.
double load(DType dtype, const void* data, std::int64_t index);

/// Rounds to nearest even in the dtype. Any NaN becomes the dtype's positive quiet NaN.
void store(DType dtype, void* data, std::int64_t index, double value);

}  // namespace cuqat::reference
