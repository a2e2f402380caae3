// From a byte per element to a bit per element.
#pragma once

#include "cpu/kernels/loop.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cuqat::cpu::CUQAT_ISA {

/// 64 flags, each 0 or 1, to 64 bits, the first in the lowest.
CUQAT_INLINE std::uint64_t pack_flags(const std::uint8_t* flags) {
#if defined(__AVX512BW__)
  const __m512i bytes = _mm512_loadu_si512(flags);
  return _mm512_test_epi8_mask(bytes, bytes);
#elif defined(__SSE2__)
  std::uint64_t bits = 0;
  for (int part = 0; part < 4; ++part) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(flags + 16 * part));
    const int mask = _mm_movemask_epi8(_mm_cmpgt_epi8(bytes, _mm_setzero_si128()));
    bits |= static_cast<std::uint64_t>(static_cast<unsigned>(mask)) << (16 * part);
  }
  return bits;
#else
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; ++i) bits |= static_cast<std::uint64_t>(flags[i]) << i;
  return bits;
#endif
}

}  // namespace cuqat::cpu::CUQAT_ISA
