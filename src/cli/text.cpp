#include "cli/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

namespace cuqat::cli {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// The character that a text, which is not empty, begins with.
Character first_character(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {};
  char32_t code = lead & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kLeast[bytes] || is_surrogate || code > 0x10ffff) return {};
  return {code, bytes, true};
}

struct CodeRange {
  char32_t first;
  char32_t last;
};

template <std::size_t kCount>
bool is_in(const std::array<CodeRange, kCount>& ranges, char32_t code) {
  return std::ranges::any_of(
      ranges, [&](CodeRange range) { return code >= range.first && code <= range.last; });
}

// Two columns wide, by the estimate of the C++ standard, [format.string.std].
constexpr std::array<CodeRange, 14> kWide = {{{0x1100, 0x115f},
                                              {0x2329, 0x232a},
                                              {0x2e80, 0x303e},
                                              {0x3040, 0xa4cf},
                                              {0xac00, 0xd7a3},
                                              {0xf900, 0xfaff},
                                              {0xfe10, 0xfe19},
                                              {0xfe30, 0xfe6f},
                                              {0xff00, 0xff60},
                                              {0xffe0, 0xffe6},
                                              {0x1f300, 0x1f64f},
                                              {0x1f900, 0x1f9ff},
                                              {0x20000, 0x2fffd},
                                              {0x30000, 0x3fffd}}};

// Controls, invisible marks, and what turns the direction of writing.
constexpr std::array<CodeRange, 6> kUnprintable = {{{0x00, 0x1f},
                                                    {0x7f, 0x9f},
                                                    {0x200b, 0x200f},
                                                    {0x2028, 0x202e},
                                                    {0x2066, 0x2069},
                                                    {0xfeff, 0xfeff}}};

int width_of(Character character) noexcept { return is_in(kWide, character.code) ? 2 : 1; }

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const Character character = first_character(text);
    if (!character.valid) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

int display_width(std::string_view text) noexcept {
  int width = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    width += width_of(character);
    text.remove_prefix(character.bytes);
  }
  return width;
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Character character = first_character(text);
    const std::string_view bytes = text.substr(0, character.bytes);
    if (character.valid && !is_in(kUnprintable, character.code)) {
      result += bytes;
    } else {
      for (const char c : bytes) result += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
    }
    text.remove_prefix(bytes.size());
  }
  return result;
}

std::string shortened(std::string_view text, int width) {
  if (display_width(text) <= width) return std::string(text);
  const int head_width = width / 4;  // Names of one model differ at their ends.
  int used = 0;
  std::size_t head = 0;
  while (head < text.size()) {
    const Character character = first_character(text.substr(head));
    if (used + width_of(character) > head_width) break;
    used += width_of(character);
    head += character.bytes;
  }
  // The tail is what remains after leaving out just enough of the middle.
  std::size_t tail = head;
  int tail_width = display_width(text.substr(head));
  while (tail_width > width - used - 1) {
    const Character character = first_character(text.substr(tail));
    tail_width -= width_of(character);
    tail += character.bytes;
  }
  return fmt::format("{}…{}", text.substr(0, head), text.substr(tail));
}

std::string exact_number(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), result.ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string short_number(double value, int digits) {
  if (value == 0.0) return "0";
  std::string text = fmt::format("{:#.{}g}", value, digits);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string short_count(std::int64_t count) {
  constexpr std::string_view kSuffixes = "kMGTPE";
  if (count < 100'000) return std::to_string(count);
  auto value = static_cast<double>(count) / 1000.0;
  std::size_t suffix = 0;
  for (; value >= 999.5 && suffix + 1 < kSuffixes.size(); ++suffix) value /= 1000.0;
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", value, decimals, kSuffixes[suffix]);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

}  // namespace cuqat::cli
