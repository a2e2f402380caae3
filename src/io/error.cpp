#include "io/error.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace cuqat::io {
namespace {

constexpr std::size_t kMaxQuotedBytes = 100;

// Bytes of the UTF-8 character that `text` begins with, or 0 where there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than needed, a surrogate, or past U+10FFFF.
  const std::uint8_t second = byte(1);
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
      (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

bool is_control(std::string_view character) {
  const auto lead = static_cast<std::uint8_t>(character[0]);
  const bool is_c1 = lead == 0xc2 && static_cast<std::uint8_t>(character[1]) < 0xa0;
  return lead < 0x20 || lead == 0x7f || is_c1;
}

void append_escaped(std::string& result, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    result += "\\x";
    result += kDigits[byte >> 4];
    result += kDigits[byte & 0xf];
  }
}

// A file's bytes must not end a line of output, nor move a terminal's cursor.
std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    if (length == 0 || is_control(character)) {
      append_escaped(result, character);
    } else {
      result += character;
    }
    text.remove_prefix(character.size());
  }
  return result;
}

}  // namespace

FileError::FileError(std::string_view path, std::string_view problem)
    : DataError(printable(path) + ": " + printable(problem)), path_(path) {}

std::string in_quotes(std::string_view text) {
  std::string_view shown = text;
  if (text.size() > kMaxQuotedBytes) {
    std::size_t end = kMaxQuotedBytes;
    while (end > kMaxQuotedBytes - 4 && (static_cast<std::uint8_t>(text[end]) & 0xc0) == 0x80) {
      --end;  // Not in the middle of a character.
    }
    shown = text.substr(0, end);
  }
  return '"' + printable(shown) + (shown.size() < text.size() ? "...\"" : "\"");
}

std::string system_problem(std::string_view what, int error_number) {
  return std::string(what) + ": " + std::generic_category().message(error_number);
}

}  // namespace cuqat::io
