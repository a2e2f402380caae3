// The words of the command line and of files for the library's enumerations, and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cuqat/calibration.hpp"
#include "cuqat/fake_quant.hpp"

namespace cuqat::io {

/// Each is absent for a word that names none.
std::optional<DType> parse_dtype(std::string_view text) noexcept;
std::optional<Format> parse_format(std::string_view text) noexcept;
std::optional<Rounding> parse_rounding(std::string_view text) noexcept;
std::optional<CalibMethod> parse_method(std::string_view text) noexcept;
std::optional<EntropyDialect> parse_dialect(std::string_view text) noexcept;

/// "true", "false".
std::optional<bool> parse_bool(std::string_view text) noexcept;

/// The safetensors dtype of a format's codes, and how they lie in a file: int4 two in a byte.
std::string_view codes_dtype(Format format) noexcept;
CodeLayout code_layout(Format format) noexcept;

/// "tensor", "channel:AXIS" or "group:N", N at least 1.
std::optional<Granularity> parse_granularity(std::string_view text) noexcept;
std::string to_text(const Granularity& granularity);

/// The whole of `text` as a number, rounded to nearest once. Absent for anything else, infinities
/// and NaN included.
std::optional<double> parse_number(std::string_view text) noexcept;

}  // namespace cuqat::io
