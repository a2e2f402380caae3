// A pack through a quantizer: codes, values and clip bits. The one place that decides how: a whole
// pack of finite elements with scales that can be prepared takes the quick way, with instructions
// that run at full rate and packed conversions; everything else goes through the element functions,
// which so remain the definition.
//
// A thread works on packs that it holds in registers, and reads their scales.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "fp8_pair.cuh"
#include "pack_numbers.cuh"
#include "pack_scales.cuh"

namespace cuqat::gpu {

template <typename T>
struct FakeQuantizedPack {
  Pack<T> y;
  std::uint32_t clipped;  ///< Bit i is element i's.
};

namespace detail {

/// value[i] becomes the quotient of element i; the bits of those out of range.
template <Format kFormat, typename PreparedOf>
__device__ inline std::uint32_t fp8_quotients(const PreparedOf& prepared_of,
                                              float (&value)[kPackElements]) {
  std::uint32_t clipped = 0;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    value[i] = prepared_of(i).quotient(value[i]);
    clipped |= (scalar::fp8_in_range<kFormat>(value[i]) ? 0u : 1u) << i;
  }
  return clipped;
}

/// quick(prepared_of, values in f32) where the pack has a quick way. It says whether that was so
/// to its end.
template <typename T, typename Scales, typename Quick>
__device__ inline bool try_quick(const Scales& scales, const PackSpan& span, const Pack<T>& x,
                                 const Quick& quick) {
  if constexpr (kCanPrepare<T, typename Scales::Quantizer>) {
    if (!span.is_whole() || !all_finite(x)) return false;
    bool done = false;
    scales.with_prepared(span, [&](const auto& prepared_of) {
      float value[kPackElements];
      widen(x, value);
      done = quick(prepared_of, value);
    });
    return done;
  } else {
    return false;
  }
}

}  // namespace detail

/// The codes of a pack, if it has a quick way.
template <typename T, typename Scales>
__device__ inline bool quantize_quickly(const Scales& scales, const PackSpan& span,
                                        const Pack<T>& x, Pack<std::uint8_t>& codes) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(
      scales, span, x, [&](const auto& prepared_of, float(&value)[kPackElements]) {
        if constexpr (is_integer(Q::kFormat)) {
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) {
            codes.element[i] = prepared_of(i).quantize(value[i]);
          }
          return true;
        } else {
          const auto clipped = detail::fp8_quotients<Q::kFormat>(prepared_of, value);
          codes = fp8_encode_pack<Q::kFormat>(value);
          return scales.quantizer().saturate || clipped == 0;
        }
      });
}

/// The codes of any pack; those outside the span are 0.
template <typename T, typename Scales>
__device__ inline Pack<std::uint8_t> quantize_elements(const Scales& scales, const PackSpan& span,
                                                       const Pack<T>& x) {
  Pack<std::uint8_t> codes{};
  scales.for_each(span, [&](int i, auto scale, std::int32_t zero_point) {
    const auto value = scalar::load_compute(x.element[i]);
    codes.element[i] = static_cast<std::uint8_t>(
        scalar::quantize_element(scales.quantizer(), value, scale, zero_point));
  });
  return codes;
}

/// The values and clip bits of a pack, if it has a quick way.
template <typename T, typename Scales>
__device__ inline bool fake_quantize_quickly(const Scales& scales, const PackSpan& span,
                                             const Pack<T>& x, FakeQuantizedPack<T>& result) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(
      scales, span, x, [&](const auto& prepared_of, float(&value)[kPackElements]) {
        result.clipped = 0;
        if constexpr (is_integer(Q::kFormat)) {
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) {
            const auto one = prepared_of(i).fake_quantize(value[i]);
            value[i] = one.value;
            result.clipped |= (one.clipped ? 1u : 0u) << i;
          }
        } else {
          result.clipped = detail::fp8_quotients<Q::kFormat>(prepared_of, value);
          fp8_round_pack<Q::kFormat>(value);
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) value[i] *= prepared_of(i).scale();
        }
        result.y = narrow<T>(value);
        return is_integer(Q::kFormat) || scales.quantizer().saturate || result.clipped == 0;
      });
}

/// The values and clip bits of any pack; bits outside the span are 0.
template <typename T, typename Scales>
__device__ inline FakeQuantizedPack<T> fake_quantize_elements(const Scales& scales,
                                                              const PackSpan& span,
                                                              const Pack<T>& x) {
  FakeQuantizedPack<T> result{};
  scales.for_each(span, [&](int i, auto scale, std::int32_t zero_point) {
    const auto one = scalar::fake_quantize_element(
        scales.quantizer(), scalar::load_compute(x.element[i]), scale, zero_point);
    result.y.element[i] = scalar::store_compute<T>(one.value);
    result.clipped |= (one.clipped ? 1u : 0u) << i;
  });
  return result;
}

/// The clip bits of a pack, if it has a quick way.
template <typename T, typename Scales>
__device__ inline bool clip_quickly(const Scales& scales, const PackSpan& span, const Pack<T>& x,
                                    std::uint32_t& clipped) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(scales, span, x,
                           [&](const auto& prepared_of, float(&value)[kPackElements]) {
                             clipped = 0;
                             if constexpr (is_integer(Q::kFormat)) {
#pragma unroll
                               for (int i = 0; i < kPackElements; ++i) {
                                 clipped |= (prepared_of(i).clips(value[i]) ? 1u : 0u) << i;
                               }
                             } else {
                               clipped = detail::fp8_quotients<Q::kFormat>(prepared_of, value);
                             }
                             return true;
                           });
}

/// The clip bits of any pack; bits outside the span are 0.
template <typename T, typename Scales>
__device__ inline std::uint32_t clip_elements(const Scales& scales, const PackSpan& span,
                                              const Pack<T>& x) {
  std::uint32_t clipped = 0;
  scales.for_each(span, [&](int i, auto scale, std::int32_t zero_point) {
    const auto value = scalar::load_compute(x.element[i]);
    const bool one = scale != 0 &&  // which passes everything
                     scalar::is_clipped(scales.quantizer(), value, scale, zero_point);
    clipped |= (one ? 1u : 0u) << i;
  });
  return clipped;
}

template <typename Scales>
__device__ inline Pack<typename Scales::Element> dequantize_pack(const Scales& scales,
                                                                 const PackSpan& span,
                                                                 const Pack<std::uint8_t>& codes) {
  using T = typename Scales::Element;
  using Q = typename Scales::Quantizer;
  using C = scalar::ComputeType<T>;
  Pack<T> y{};
  if constexpr (!is_integer(Q::kFormat) && std::is_same_v<C, float>) {
    float value[kPackElements];
    fp8_decode_pack<Q::kFormat>(codes, value);
    scales.for_each(span, [&](int i, C scale, std::int32_t) {
      y.element[i] = scalar::store_compute<T>(value[i] * scale);
    });
  } else {
    scales.for_each(span, [&](int i, C scale, std::int32_t zero_point) {
      // Integer codes are signed bytes.
      const std::int32_t code =
          is_integer(Q::kFormat) ? static_cast<std::int8_t>(codes.element[i]) : codes.element[i];
      y.element[i] = scalar::store_compute<T>(
          scalar::dequantize_element(scales.quantizer(), code, scale, zero_point));
    });
  }
  return y;
}

/// int4 codes two in a byte, from a whole byte on: writes those of the span, reads them.
__device__ inline void store_nibbles(std::uint8_t* to, const PackSpan& span,
                                     const Pack<std::uint8_t>& codes) {
  std::uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    packed |= (codes.element[i] & std::uint32_t{0xf}) << (4 * i);
  }
  if (span.is_whole()) {
    store_element(to, 0, packed);
    return;
  }
  for (int i = 0; i < span.end; i += 2) {
    const bool alone = i + 1 == span.end;  // the spare bits are 0
    to[i / 2] = static_cast<std::uint8_t>(packed >> (4 * i) & (alone ? 0xfu : 0xffu));
  }
}
__device__ inline Pack<std::uint8_t> load_nibbles(const std::uint8_t* from, const PackSpan& span) {
  std::uint32_t packed = 0;
  if (span.is_whole()) {
    packed = load_element<std::uint32_t>(from, 0);
  } else {
    for (int i = 0; i < span.end; i += 2) packed |= std::uint32_t{from[i / 2]} << (4 * i);
  }
  Pack<std::uint8_t> codes;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    const auto byte = static_cast<std::uint8_t>(packed >> (4 * i) & 0xfu);
    codes.element[i] = static_cast<std::uint8_t>(scalar::unpack_int4_low(byte));
  }
  return codes;
}

}  // namespace cuqat::gpu
