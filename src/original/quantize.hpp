// The integer code that all of the original's quantizers share.
#pragma once

#include <cstdint>

namespace cuqat::original {

/// Least and largest code.
struct CodeRange {
  double low;
  double high;
};
inline constexpr CodeRange kInt4Codes{-8.0, 7.0};
inline constexpr CodeRange kInt8Codes{-128.0, 127.0};

/// clamp(round(x / scale + zero_point)), ties away from zero; NaN gives 0.
std::int32_t integer_code(double x, double scale, std::int32_t zero_point, CodeRange codes);

/// (code - zero_point) * scale; the difference wraps.
double integer_value(std::int32_t code, double scale, std::int32_t zero_point);

}  // namespace cuqat::original
