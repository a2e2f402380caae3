// A pack through a quantizer: codes, values and clip bits. The one place that decides how: a whole
// pack of finite elements with scales that can be prepared takes the quick way, with instructions
// that run at full rate and packed conversions; everything else goes through the element functions,
// which so remain the definition.
//
// A thread works on packs that it holds in registers, and reads their scales.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
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

/// Elements of the slow way side by side. Where most packs have a quick one it is a loop: its
/// registers would be those of the whole kernel.
template <typename Scales>
inline constexpr int kSlowUnrolled =
    kCanPrepare<typename Scales::Element, typename Scales::Quantizer> ? 1 : kPackElements;

/// body(prepared_of, values in f32) where the pack has a quick way. Says whether it had.
template <typename T, typename Scales, typename Place, typename Body>
__device__ inline bool try_quick(const Scales& scales, const Place& place, const Pack<T>& x,
                                 const Body& body) {
  bool done = false;
  if constexpr (kCanPrepare<T, typename Scales::Quantizer>) {
    if (!place.is_whole()) return false;
    scales.with_prepared(place, [&](const auto& prepared_of, const MagnitudeBound<T>& bound) {
      if (!bound.holds_all(x)) return;
      float value[kPackElements];
      widen(x, value);
      body(prepared_of, value);
      done = true;
    });
  }
  return done;
}

/// value[i] becomes the steps of element i's code. The clip bits, if they are wanted.
template <typename PreparedOf>
__device__ inline std::uint32_t clamped_steps(const PreparedOf& prepared_of,
                                              float (&value)[kPackElements], bool with_clip_bits) {
  float steps[kPackElements];
  float past_ends = 0;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    steps[i] = prepared_of(i).steps(value[i]);
    value[i] = prepared_of(i).clamped(steps[i]);
    const float past_end = std::fabs(steps[i] - value[i]);
    past_ends = i == 0 ? past_end : past_ends + past_end;
  }
  // Most packs have none, and a bit takes more than a sum.
  std::uint32_t clipped = 0;
  if (past_ends >
      (with_clip_bits ? 0.0f : scalar::from_bits(scalar::FloatTraits<float>::kInfinity))) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) clipped |= (steps[i] != value[i] ? 1u : 0u) << i;
  }
  return clipped;
}

/// value[i] becomes the quotient of element i.
template <typename PreparedOf>
__device__ inline void fp8_quotients(const PreparedOf& prepared_of, float (&value)[kPackElements]) {
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) value[i] = prepared_of(i).quotient(value[i]);
}

/// The bits of the quotients that are out of range.
template <Format kFormat>
__device__ inline std::uint32_t fp8_clip_bits(const float (&quotient)[kPackElements]) {
  std::uint32_t clipped = 0;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    clipped |= (scalar::fp8_in_range<kFormat>(quotient[i]) ? 0u : 1u) << i;
  }
  return clipped;
}

}  // namespace detail

/// The codes of a pack, if it has a quick way.
template <typename T, typename Scales, typename Place>
__device__ inline bool quantize_quickly(const Scales& scales, const Place& place, const Pack<T>& x,
                                        Pack<std::uint8_t>& codes) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(
      scales, place, x, [&](const auto& prepared_of, float(&value)[kPackElements]) {
        if constexpr (is_integer(Q::kFormat)) {
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) {
            const scalar::PreparedInteger prepared = prepared_of(i);
            codes.element[i] = prepared.code_of(prepared.clamped(prepared.steps(value[i])));
          }
        } else {
          detail::fp8_quotients(prepared_of, value);
          codes = fp8_encode_pack<Q::kFormat>(value);
        }
      });
}

/// The codes of any pack; those outside the span are 0.
template <typename T, typename Scales>
__device__ inline Pack<std::uint8_t> quantize_elements(const Scales& scales, const PackSpan& span,
                                                       const Pack<T>& x) {
  Pack<std::uint8_t> codes{};
  scales.template for_each<detail::kSlowUnrolled<Scales>>(
      span, [&](int i, auto scale, std::int32_t zero_point) {
        const auto value = scalar::load_compute(x.element[i]);
        codes.element[i] = static_cast<std::uint8_t>(
            scalar::quantize_element(scales.quantizer(), value, scale, zero_point));
      });
  return codes;
}

/// The values of a pack and, if they are wanted, its clip bits, if it has a quick way.
template <typename T, typename Scales, typename Place>
__device__ inline bool fake_quantize_quickly(const Scales& scales, const Place& place,
                                             const Pack<T>& x, bool with_clip_bits,
                                             FakeQuantizedPack<T>& result) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(
      scales, place, x, [&](const auto& prepared_of, float(&value)[kPackElements]) {
        if constexpr (is_integer(Q::kFormat)) {
          result.clipped = detail::clamped_steps(prepared_of, value, with_clip_bits);
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) value[i] = prepared_of(i).value_of(value[i]);
        } else {
          detail::fp8_quotients(prepared_of, value);
          result.clipped = with_clip_bits ? detail::fp8_clip_bits<Q::kFormat>(value) : 0;
          fp8_round_pack<Q::kFormat>(value);
#pragma unroll
          for (int i = 0; i < kPackElements; ++i) value[i] *= prepared_of(i).scale();
        }
        result.y = narrow<T>(value);
      });
}

/// The values and clip bits of any pack; bits outside the span are 0.
template <typename T, typename Scales>
__device__ inline FakeQuantizedPack<T> fake_quantize_elements(const Scales& scales,
                                                              const PackSpan& span,
                                                              const Pack<T>& x) {
  FakeQuantizedPack<T> result{};
  scales.template for_each<detail::kSlowUnrolled<Scales>>(
      span, [&](int i, auto scale, std::int32_t zero_point) {
        const auto one = scalar::fake_quantize_element(
            scales.quantizer(), scalar::load_compute(x.element[i]), scale, zero_point);
        result.y.element[i] = scalar::store_compute<T>(one.value);
        result.clipped |= (one.clipped ? 1u : 0u) << i;
      });
  return result;
}

/// The clip bits of a pack, if it has a quick way.
template <typename T, typename Scales, typename Place>
__device__ inline bool clip_quickly(const Scales& scales, const Place& place, const Pack<T>& x,
                                    std::uint32_t& clipped) {
  using Q = typename Scales::Quantizer;
  return detail::try_quick(scales, place, x,
                           [&](const auto& prepared_of, float(&value)[kPackElements]) {
                             if constexpr (is_integer(Q::kFormat)) {
                               clipped = 0;
#pragma unroll
                               for (int i = 0; i < kPackElements; ++i) {
                                 const float steps = prepared_of(i).steps(value[i]);
                                 clipped |= (prepared_of(i).clamped(steps) != steps ? 1u : 0u) << i;
                               }
                             } else {
                               detail::fp8_quotients(prepared_of, value);
                               clipped = detail::fp8_clip_bits<Q::kFormat>(value);
                             }
                           });
}

/// The clip bits of any pack; bits outside the span are 0.
template <typename T, typename Scales>
__device__ inline std::uint32_t clip_elements(const Scales& scales, const PackSpan& span,
                                              const Pack<T>& x) {
  std::uint32_t clipped = 0;
  scales.template for_each<detail::kSlowUnrolled<Scales>>(
      span, [&](int i, auto scale, std::int32_t zero_point) {
        const auto value = scalar::load_compute(x.element[i]);
        const bool one = scale != 0 &&  // which passes everything
                         scalar::is_clipped(scales.quantizer(), value, scale, zero_point);
        clipped |= (one ? 1u : 0u) << i;
      });
  return clipped;
}

template <typename Scales, typename Place>
__device__ inline Pack<typename Scales::Element> dequantize_pack(const Scales& scales,
                                                                 const Place& span,
                                                                 const Pack<std::uint8_t>& codes) {
  using T = typename Scales::Element;
  using Q = typename Scales::Quantizer;
  using C = scalar::ComputeType<T>;
  Pack<T> y{};
  if constexpr (!is_integer(Q::kFormat) && std::is_same_v<C, float>) {
    float value[kPackElements];
    fp8_decode_pack<Q::kFormat>(codes, value);
    scales.template for_each<kPackElements>(span, [&](int i, C scale, std::int32_t) {
      y.element[i] = scalar::store_compute<T>(value[i] * scale);
    });
  } else {
    scales.template for_each<kPackElements>(span, [&](int i, C scale, std::int32_t zero_point) {
      // Integer codes are signed bytes.
      const std::int32_t code =
          is_integer(Q::kFormat) ? static_cast<std::int8_t>(codes.element[i]) : codes.element[i];
      y.element[i] = scalar::store_compute<T>(
          scalar::dequantize_element(scales.quantizer(), code, scale, zero_point));
    });
  }
  return y;
}

/// Where the nibbles of a pack begin, of packs that start at the first element.
template <typename Byte, typename Place>
__device__ inline Byte* nibbles_at(Byte* codes, const Place& place) {
  return codes + place.first / 2;
}

/// int4 codes two in a byte, from a whole byte on: writes those of the span, reads them. Those of a
/// WholePack are aligned words.
template <typename Place>
__device__ inline void store_nibbles(std::uint8_t* to, const Place& span,
                                     const Pack<std::uint8_t>& codes) {
  std::uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    packed |= (codes.element[i] & std::uint32_t{0xf}) << (4 * i);
  }
  if constexpr (std::is_same_v<Place, WholePack>) {
    *reinterpret_cast<std::uint32_t*>(to) = packed;
  } else if (span.is_whole()) {
    store_element(to, 0, packed);
  } else {
    for (int i = 0; i < span.end; i += 2) {
      const bool alone = i + 1 == span.end;  // the spare bits are 0
      to[i / 2] = static_cast<std::uint8_t>(packed >> (4 * i) & (alone ? 0xfu : 0xffu));
    }
  }
}
template <typename Place>
__device__ inline Pack<std::uint8_t> load_nibbles(const std::uint8_t* from, const Place& span) {
  std::uint32_t packed = 0;
  if constexpr (std::is_same_v<Place, WholePack>) {
    packed = *reinterpret_cast<const std::uint32_t*>(from);
  } else if (span.is_whole()) {
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
