#include "io/tensor_entry.hpp"

#include <algorithm>
#include <array>

namespace cuqat::io {
namespace {

struct DtypeBits {
  std::string_view name;
  int bits;
};

// The elements of safetensors 0.8, https://docs.rs/safetensors (Dtype).
constexpr std::array<DtypeBits, 22> kDtypes = {{
    {"F32", 32},        {"F16", 16},        {"BF16", 16},   {"F64", 64},    {"I8", 8},
    {"U8", 8},          {"BOOL", 8},        {"I16", 16},    {"U16", 16},    {"I32", 32},
    {"U32", 32},        {"I64", 64},        {"U64", 64},    {"F8_E4M3", 8}, {"F8_E5M2", 8},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E8M0", 8}, {"F4", 4},      {"F6_E2M3", 6},
    {"F6_E3M2", 6},     {"C64", 64},
}};

}  // namespace

std::optional<int> safetensors_dtype_bits(std::string_view dtype) noexcept {
  const auto* found = std::ranges::find(kDtypes, dtype, &DtypeBits::name);
  if (found == kDtypes.end()) return std::nullopt;
  return found->bits;
}

std::optional<std::int64_t> checked_count(std::span<const std::int64_t> shape) noexcept {
  std::int64_t product = 1;
  bool is_empty = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      is_empty = true;
    } else if (__builtin_mul_overflow(product, extent, &product)) {
      return std::nullopt;
    }
  }
  return is_empty ? 0 : product;
}

std::optional<std::uint64_t> checked_bytes(std::int64_t count, int bits) noexcept {
  // By whole groups of eight elements, which take `bits` bytes, and the rest.
  const std::int64_t rest_bits = count % 8 * bits;
  std::int64_t bytes = 0;
  if (rest_bits % 8 != 0 || __builtin_mul_overflow(count / 8, std::int64_t{bits}, &bytes) ||
      __builtin_add_overflow(bytes, rest_bits / 8, &bytes)) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace cuqat::io
