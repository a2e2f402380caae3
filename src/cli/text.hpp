// Text from files made fit for a terminal, and numbers as text.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cuqat::cli {

bool is_utf8(std::string_view text) noexcept;

/// Columns that the text takes on a terminal.
int display_width(std::string_view text) noexcept;

/// The text with everything escaped that would move the cursor, end the line or turn the direction
/// of writing, and bytes that are not UTF-8.
std::string printable(std::string_view text);

/// At most `width` columns of the text: an ellipsis takes the place of its middle, nearer to the
/// beginning.
std::string shortened(std::string_view text, int width);

/// The fewest digits that read back as the same bits, always with a point or an exponent.
/// @pre value is finite.
std::string exact_number(double value);

/// The number with `digits` significant digits, trailing zeros kept, for people.
std::string short_number(double value, int digits);

/// In at most five columns: exact up to 99 999, then with a suffix.
std::string short_count(std::int64_t count);

/// "665x384"; "scalar" for no extents.
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace cuqat::cli
