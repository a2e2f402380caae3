// Codes from values, values from codes, and two int4 codes in a byte.
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {

namespace {

template <typename T, bool kPerElement, typename Q>
void quantize_loop(const Q q, const Scales<scalar::ComputeType<T>, kPerElement> scales,
                   const void* x, std::uint8_t* codes, std::int64_t n) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = scalar::load_compute(load<T>(x, i));
    codes[i] = static_cast<std::uint8_t>(
        scalar::quantize_element(q, value, scales.scale(i), scales.zero_point(i)));
  }
}

/// A code as an integer: sign-extended from a byte for integers, the encoding for FP8.
template <typename Q>
CUQAT_INLINE std::int32_t code_of_byte(std::uint8_t byte) {
  if constexpr (is_integer(Q::kFormat)) {
    return static_cast<std::int8_t>(byte);
  } else {
    return byte;
  }
}

template <typename T, bool kPerElement, typename Q>
void dequantize_loop(const Q q, const Scales<scalar::ComputeType<T>, kPerElement> scales,
                     const std::uint8_t* codes, void* y, std::int64_t n) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = scalar::dequantize_element(q, code_of_byte<Q>(codes[i]), scales.scale(i),
                                                  scales.zero_point(i));
    store<T>(y, i, scalar::store_compute<T>(value));
  }
}

}  // namespace

void quantize(const TileQuantizer& quantizer, const TileScale& scale, const void* x,
              std::uint8_t* codes, std::int64_t n) {
  with_loop(quantizer, scale, [&](auto type, auto q, auto per_element) {
    using T = typename decltype(type)::Type;
    constexpr bool kPerElement = decltype(per_element)::value;
    const Scales<scalar::ComputeType<T>, kPerElement> scales(scale);
    quantize_loop<T, kPerElement>(q, scales, x, codes, n);
  });
}

void dequantize(const TileQuantizer& quantizer, const TileScale& scale, const std::uint8_t* codes,
                void* y, std::int64_t n) {
  with_loop(quantizer, scale, [&](auto type, auto q, auto per_element) {
    using T = typename decltype(type)::Type;
    constexpr bool kPerElement = decltype(per_element)::value;
    const Scales<scalar::ComputeType<T>, kPerElement> scales(scale);
    dequantize_loop<T, kPerElement>(q, scales, codes, y, n);
  });
}

void pack_nibbles(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t n) {
  const std::int64_t pairs = n / 2;
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < pairs; ++i) {
    packed[i] = scalar::pack_int4(codes[2 * i], codes[2 * i + 1]);
  }
  if (n % 2 != 0) packed[pairs] = scalar::pack_int4(codes[n - 1], 0);
}

void unpack_nibbles(const std::uint8_t* packed, std::uint8_t* codes, std::int64_t n) {
  const std::int64_t pairs = n / 2;
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < pairs; ++i) {
    codes[2 * i] = static_cast<std::uint8_t>(scalar::unpack_int4_low(packed[i]));
    codes[2 * i + 1] = static_cast<std::uint8_t>(scalar::unpack_int4_high(packed[i]));
  }
  if (n % 2 != 0) codes[n - 1] = static_cast<std::uint8_t>(scalar::unpack_int4_low(packed[pairs]));
}

}  // namespace cuqat::cpu::CUQAT_ISA
