// Copies that do not pass through the caches: a large output is not read before it is written.
#include "cpu/kernels/entry_points.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cuqat::cpu::CUQAT_ISA {

#if defined(__x86_64__)

void stream(void* to, const void* from, std::size_t bytes) {
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(target) % 64;
  std::size_t head = past == 0 ? 0 : 64 - past;
  if (head > bytes) head = bytes;
  __builtin_memcpy(target, source, head);
  std::size_t i = head;
  for (; i + 64 <= bytes; i += 64) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target + i), _mm512_loadu_si512(source + i));
#else
    for (std::size_t part = 0; part < 64; part += 16) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(target + i + part),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i + part)));
    }
#endif
  }
  __builtin_memcpy(target + i, source + i, bytes - i);
}

void stream_fence() { _mm_sfence(); }

#else

void stream(void* to, const void* from, std::size_t bytes) { __builtin_memcpy(to, from, bytes); }
void stream_fence() {}

#endif

}  // namespace cuqat::cpu::CUQAT_ISA
