// What every kernel loop needs: unaligned loads and stores, and the step from run-time types and
// formats to template arguments. For the sources of this folder only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/kernels.hpp"
#include "cuqat/scalar/element.hpp"

// Iterations are independent even where an output is an input: element i reads and writes only i.
#if defined(__clang__)
#define CUQAT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define CUQAT_INDEPENDENT _Pragma("GCC ivdep")
#endif

#define CUQAT_INLINE inline __attribute__((always_inline))

namespace cuqat::cpu::CUQAT_ISA {

/// The bits of an element.
template <std::size_t kBytes>
struct PatternOfSize;
template <>
struct PatternOfSize<2> {
  using Type = std::uint16_t;
};
template <>
struct PatternOfSize<4> {
  using Type = std::uint32_t;
};
template <>
struct PatternOfSize<8> {
  using Type = std::uint64_t;
};
template <typename T>
using PatternOf = typename PatternOfSize<sizeof(T)>::Type;

/// Element i of an array at any address.
template <typename T>
CUQAT_INLINE const void* element_address(const void* base, std::int64_t i) {
  return static_cast<const char*>(base) + i * static_cast<std::int64_t>(sizeof(T));
}
template <typename T>
CUQAT_INLINE void* element_address(void* base, std::int64_t i) {
  return static_cast<char*>(base) + i * static_cast<std::int64_t>(sizeof(T));
}

template <typename T>
CUQAT_INLINE T load(const void* base, std::int64_t i) {
  T value;
  __builtin_memcpy(
      &value, static_cast<const char*>(base) + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
CUQAT_INLINE void store(void* base, std::int64_t i, T value) {
  __builtin_memcpy(element_address<T>(base, i), &value, sizeof(T));
}

/// The scales of a tile as the loops read them.
template <typename C, bool kPerElement>
struct Scales {
  explicit CUQAT_INLINE Scales(const TileScale& tile)
      : first_scale(load<C>(tile.scale, 0)),
        first_zero_point(tile.zero_point[0]),
        scales(static_cast<const C*>(tile.scale)),
        zero_points(tile.zero_point) {}
  CUQAT_INLINE C scale(std::int64_t i) const { return kPerElement ? scales[i] : first_scale; }
  CUQAT_INLINE std::int32_t zero_point(std::int64_t i) const {
    return kPerElement ? zero_points[i] : first_zero_point;
  }

  C first_scale;
  std::int32_t first_zero_point;
  const C* scales;
  const std::int32_t* zero_points;
};

template <typename T>
struct TypeTag {
  using Type = T;
};

template <bool kValue>
struct BoolTag {
  static constexpr bool value = kValue;
};

/// body(TypeTag<T>) for the type of the dtype.
template <typename Body>
CUQAT_INLINE void with_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(TypeTag<float>{});
    case DType::kF64:
      return body(TypeTag<double>{});
    case DType::kF16:
      return body(TypeTag<float16>{});
    case DType::kBF16:
      return body(TypeTag<bfloat16>{});
  }
}

/// body(element quantizer). int8 and int4 share one: their code range is a run-time value.
template <typename Body>
CUQAT_INLINE void with_quantizer(const TileQuantizer& q, const Body& body) {
  using scalar::ElementQuantizer;
  if (q.format == Format::kE4M3) {
    body(ElementQuantizer<Format::kE4M3>{q.low, q.high, q.saturate});
  } else if (q.format == Format::kE5M2) {
    body(ElementQuantizer<Format::kE5M2>{q.low, q.high, q.saturate});
  } else if (q.rounding == Rounding::kNearestEven) {
    body(ElementQuantizer<Format::kInt8, Rounding::kNearestEven>{q.low, q.high, q.saturate});
  } else {
    body(ElementQuantizer<Format::kInt8, Rounding::kOriginal>{q.low, q.high, q.saturate});
  }
}

template <typename Body>
CUQAT_INLINE void with_bool(bool value, const Body& body) {
  if (value) {
    body(BoolTag<true>{});
  } else {
    body(BoolTag<false>{});
  }
}

/// body(TypeTag<T>, element quantizer, BoolTag<per element>).
template <typename Body>
CUQAT_INLINE void with_loop(const TileQuantizer& quantizer, const TileScale& scale,
                            const Body& body) {
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      with_bool(scale.per_element, [&](auto per_element) { body(type, q, per_element); });
    });
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
