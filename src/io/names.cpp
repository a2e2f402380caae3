#include "io/names.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace cuqat::io {
namespace {

template <typename Enum, std::size_t kCount>
std::optional<Enum> parse_name(std::string_view text, const std::array<Enum, kCount>& all) {
  for (const Enum value : all) {
    if (text == to_string(value)) return value;
  }
  return std::nullopt;
}

template <typename T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<DType> parse_dtype(std::string_view text) noexcept {
  return parse_name(text, std::array{DType::kF32, DType::kF64, DType::kF16, DType::kBF16});
}

std::optional<Format> parse_format(std::string_view text) noexcept {
  return parse_name(text, std::array{Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2});
}

std::optional<Rounding> parse_rounding(std::string_view text) noexcept {
  return parse_name(text, std::array{Rounding::kNearestEven, Rounding::kOriginal});
}

std::optional<CalibMethod> parse_method(std::string_view text) noexcept {
  return parse_name(text, std::array{CalibMethod::kMinMax, CalibMethod::kPercentile,
                                     CalibMethod::kEntropy, CalibMethod::kMse, CalibMethod::kSqnr});
}

std::optional<EntropyDialect> parse_dialect(std::string_view text) noexcept {
  return parse_name(text, std::array{EntropyDialect::kModelopt, EntropyDialect::kOnnxRuntime,
                                     EntropyDialect::kOriginal});
}

std::optional<bool> parse_bool(std::string_view text) noexcept {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::string_view codes_dtype(Format format) noexcept {
  switch (format) {
    case Format::kInt8:
      return "I8";
    case Format::kInt4:
      return "U8";
    case Format::kE4M3:
      return "F8_E4M3";
    case Format::kE5M2:
      return "F8_E5M2";
  }
  return "unknown";
}

CodeLayout code_layout(Format format) noexcept {
  return format == Format::kInt4 ? CodeLayout::kNibbles : CodeLayout::kBytes;
}

std::optional<Granularity> parse_granularity(std::string_view text) noexcept {
  constexpr std::string_view kChannel = "channel:";
  constexpr std::string_view kGroup = "group:";
  if (text == "tensor") return Granularity::tensor();
  if (text.starts_with(kChannel)) {
    const auto axis = parse_whole<int>(text.substr(kChannel.size()));
    if (axis) return Granularity::channel(*axis);
  }
  if (text.starts_with(kGroup)) {
    const auto size = parse_whole<std::int64_t>(text.substr(kGroup.size()));
    if (size && *size >= 1) return Granularity::group(*size);
  }
  return std::nullopt;
}

std::string to_text(const Granularity& granularity) {
  switch (granularity.kind) {
    case Granularity::Kind::kTensor:
      return "tensor";
    case Granularity::Kind::kChannel:
      return "channel:" + std::to_string(granularity.axis);
    case Granularity::Kind::kGroup:
      return "group:" + std::to_string(granularity.group_size);
  }
  return "unknown";
}

std::optional<double> parse_number(std::string_view text) noexcept {
  const std::optional<double> value = parse_whole<double>(text);
  if (!value || !std::isfinite(*value)) return std::nullopt;
  return value;
}

}  // namespace cuqat::io
