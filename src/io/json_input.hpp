// Reading JSON from outside, strictly.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "io/error.hpp"

namespace cuqat::io {

struct JsonLimits {
  std::size_t max_bytes = std::size_t{256} << 20;
  int max_depth = 64;  ///< Of nested arrays and objects; a scalar has depth 0.
};

/// Parses JSON text (RFC 8259). Refused, beside what is no JSON: repeated keys, a byte order mark,
/// comments, anything after the value, text or nesting beyond the limits.
/// @throws FileError, with the line and the column.
nlohmann::json parse_json(std::string_view text, const std::string& display_name,
                          const JsonLimits& limits = {});

/// The same for a file; "-" is standard input.
nlohmann::json read_json(const std::string& path, const JsonLimits& limits = {});

}  // namespace cuqat::io
