// Eight consecutive elements in registers: the unit of work of a thread, and one byte of a mask.
//
// Packs are cut so that they start at multiples of 16 bytes of one tensor, the output where there
// is one, if its alignment allows it (packs_aligned_to), and are then moved by 16-byte accesses.
// Whatever else is found: a pack that is not whole, or a tensor at another alignment, is moved
// element by element, and byte by byte where not even the elements are aligned. The address's
// alignment is the same for all packs of a tensor (of a row, where packs start at rows), so warps
// seldom diverge over it.
//
// A place is a PackSpan, which may be any of these, or a WholePack, of which all is known.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

// Words through which memory of any type is read and written.
#if defined(__CUDACC__)
#define CUQAT_MAY_ALIAS
#else
#define CUQAT_MAY_ALIAS [[gnu::may_alias]]
#endif

namespace cuqat::gpu {

inline constexpr int kPackElements = 8;

struct alignas(16) CUQAT_MAY_ALIAS Word16 {
  std::uint32_t part[4];
};
struct alignas(8) CUQAT_MAY_ALIAS Word8 {
  std::uint32_t part[2];
};

/// An unsigned integer of an element's size.
template <std::size_t kBytes>
struct BitsOfSize;
template <>
struct BitsOfSize<1> {
  using Type = std::uint8_t;
};
template <>
struct BitsOfSize<2> {
  using Type = std::uint16_t;
};
template <>
struct BitsOfSize<4> {
  using Type = std::uint32_t;
};
template <>
struct BitsOfSize<8> {
  using Type = std::uint64_t;
};
template <typename T>
using BitsOf = typename BitsOfSize<sizeof(T)>::Type;

template <typename T>
struct alignas(sizeof(T) >= 2 ? 16 : 8) Pack {
  T element[kPackElements];
};

/// body(position) for each bit that is set, the lowest first. The loop is not unrolled: there is
/// one copy of the body, however many bits there are.
template <typename Body>
__device__ inline void for_each_bit(std::uint32_t bits, const Body& body) {
#pragma unroll 1
  for (; bits != 0; bits &= bits - 1) body(__ffs(static_cast<int>(bits)) - 1);
}

/// Where a pack lies: elements [first + begin, first + end) of the tensor.
struct PackSpan {
  std::int64_t first;
  int begin;
  int end;

  __device__ bool is_whole() const { return begin == 0 && end == kPackElements; }
};

/// Where a whole pack lies, of a tensor that is moved by words (PackLayout::moves_words).
struct WholePack {
  std::int64_t first;

  static constexpr int begin = 0;
  static constexpr int end = kPackElements;
  __device__ static constexpr bool is_whole() { return true; }
};

/// How a tensor of `count` elements is cut into packs. The first has `shift` elements less.
struct PackLayout {
  std::int64_t count;
  std::int64_t num_packs;
  int shift;

  __device__ PackSpan span(std::int64_t pack) const {
    const std::int64_t first = pack * kPackElements - shift;
    const std::int64_t left = count - first;
    return {first, first < 0 ? static_cast<int>(-first) : 0,
            left < kPackElements ? static_cast<int>(left) : kPackElements};
  }

  /// Whole packs of a tensor of T at `base` lie where words of their size do.
  template <typename T>
  __device__ bool moves_words(const void* base) const;
};

/// Packs from the first element on, as masks and packed codes need them.
inline PackLayout packs_from_start(std::int64_t count) {
  return {count, count / kPackElements + (count % kPackElements != 0 ? 1 : 0), 0};
}

/// Packs that start at 16-byte boundaries of a tensor of T at `address`, if its elements can.
template <typename T>
PackLayout packs_aligned_to(const void* address, std::int64_t count) {
  const auto past = reinterpret_cast<std::uintptr_t>(address) % 16;
  if (past % sizeof(T) != 0 || count < 2 * kPackElements) return packs_from_start(count);
  const int shift = static_cast<int>(past / sizeof(T));
  PackLayout layout = packs_from_start(count + shift);
  layout.count = count;
  layout.shift = shift;
  return layout;
}

namespace detail {

template <typename Word, typename T>
__device__ inline void copy_words(Pack<T>& pack, const void* from) {
  constexpr int kWords = static_cast<int>(sizeof(Pack<T>) / sizeof(Word));
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    reinterpret_cast<Word*>(&pack)[i] = static_cast<const Word*>(from)[i];
  }
}

/// A word to global memory, in one instruction: from an assignment the compiler makes four where it
/// has computed the parts apart.
__device__ inline void store_word(Word16* to, const Word16& word) {
#if defined(__CUDA_ARCH__)
  __stwb(reinterpret_cast<uint4*>(to),
         make_uint4(word.part[0], word.part[1], word.part[2], word.part[3]));
#else
  *to = word;
#endif
}
__device__ inline void store_word(Word8* to, const Word8& word) {
#if defined(__CUDA_ARCH__)
  __stwb(reinterpret_cast<uint2*>(to), make_uint2(word.part[0], word.part[1]));
#else
  *to = word;
#endif
}

template <typename Word, typename T>
__device__ inline void copy_words(void* to, const Pack<T>& pack) {
  constexpr int kWords = static_cast<int>(sizeof(Pack<T>) / sizeof(Word));
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    store_word(static_cast<Word*>(to) + i, reinterpret_cast<const Word*>(&pack)[i]);
  }
}

__device__ inline bool is_aligned(const void* address, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(address) % alignment == 0;
}

/// An element, byte by byte. Only shifts: an array indexed at run time would leave the registers.
template <typename T>
__device__ inline T load_bytes(const char* from) {
  BitsOf<T> bits = 0;
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(T)); ++i) {
    const auto byte = static_cast<std::uint64_t>(static_cast<unsigned char>(from[i]));
    bits = static_cast<BitsOf<T>>(bits | static_cast<BitsOf<T>>(byte << (8 * i)));
  }
  return __builtin_bit_cast(T, bits);
}

template <typename T>
__device__ inline void store_bytes(char* to, T value) {
  const auto bits = static_cast<std::uint64_t>(__builtin_bit_cast(BitsOf<T>, value));
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(T)); ++i) {
    to[i] = static_cast<char>(static_cast<unsigned char>(bits >> (8 * i)));
  }
}

template <typename T>
using PackWord = std::conditional_t<(sizeof(Pack<T>) >= 16), Word16, Word8>;

}  // namespace detail

template <typename T>
__device__ inline bool PackLayout::moves_words(const void* base) const {
  const auto past =
      reinterpret_cast<std::uintptr_t>(base) - static_cast<unsigned>(shift) * sizeof(T);
  return past % sizeof(detail::PackWord<T>) == 0;
}

/// The elements of a pack.
template <typename T>
__device__ inline Pack<T> load_pack(const void* base, const WholePack& place) {
  Pack<T> pack;
  detail::copy_words<detail::PackWord<T>>(pack, static_cast<const T*>(base) + place.first);
  return pack;
}

template <typename T>
__device__ inline void store_pack(void* base, const WholePack& place, const Pack<T>& pack) {
  detail::copy_words<detail::PackWord<T>>(static_cast<T*>(base) + place.first, pack);
}

/// The elements of a pack; those outside its span are zero bits.
template <typename T>
__device__ inline Pack<T> load_pack(const void* base, const PackSpan& span) {
  using Word = detail::PackWord<T>;
  Pack<T> pack{};
  const char* const from =
      static_cast<const char*>(base) + span.first * static_cast<std::int64_t>(sizeof(T));
  if (span.is_whole() && detail::is_aligned(from, sizeof(Word))) {
    detail::copy_words<Word>(pack, from);
  } else if (detail::is_aligned(base, sizeof(T))) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) pack.element[i] = reinterpret_cast<const T*>(from)[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) {
        pack.element[i] = detail::load_bytes<T>(from + i * static_cast<int>(sizeof(T)));
      }
    }
  }
  return pack;
}

/// Writes the elements of the span and nothing else.
template <typename T>
__device__ inline void store_pack(void* base, const PackSpan& span, const Pack<T>& pack) {
  using Word = detail::PackWord<T>;
  char* const to = static_cast<char*>(base) + span.first * static_cast<std::int64_t>(sizeof(T));
  if (span.is_whole() && detail::is_aligned(to, sizeof(Word))) {
    detail::copy_words<Word>(to, pack);
  } else if (detail::is_aligned(base, sizeof(T))) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) reinterpret_cast<T*>(to)[i] = pack.element[i];
    }
  } else {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) {
        detail::store_bytes(to + i * static_cast<int>(sizeof(T)), pack.element[i]);
      }
    }
  }
}

/// Element i of a tensor at any address.
template <typename T>
__device__ inline T load_element(const void* base, std::int64_t i) {
  if (detail::is_aligned(base, sizeof(T))) return static_cast<const T*>(base)[i];
  return detail::load_bytes<T>(static_cast<const char*>(base) +
                               i * static_cast<std::int64_t>(sizeof(T)));
}

/// Writes element i of a tensor at any address.
template <typename T>
__device__ inline void store_element(void* base, std::int64_t i, T value) {
  if (detail::is_aligned(base, sizeof(T))) {
    static_cast<T*>(base)[i] = value;
    return;
  }
  detail::store_bytes(static_cast<char*>(base) + i * static_cast<std::int64_t>(sizeof(T)), value);
}

}  // namespace cuqat::gpu
