// FP8 by table: every value of a format from its definition, and a search for the nearest.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"

namespace cuqat::reference {

/// Nearest value, a tie to the even code. NaN gives the format's NaN with its sign.
std::uint8_t encode_fp8(Format format, double value, bool saturate);

/// True where `value` rounds to a finite number of the format.
bool is_in_fp8_range(Format format, double value);

double decode_fp8(Format format, std::uint8_t code);

}  // namespace cuqat::reference
