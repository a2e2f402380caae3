// Every f32 pattern, or a sample of them in a sanitizer build, in order and on two threads.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <iostream>
#include <thread>

#include "cuqat/scalar/bits.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {

/// Prime, so that every mantissa pattern's low bits come up.
inline constexpr std::uint64_t kStride = kSanitized ? 257 : 1;

/// Says what the sweep leaves out.
inline void announce_stride() {
  if (kStride == 1) return;
  std::cout << "[ sample   ] every " << kStride << "th pattern: this is a sanitizer build\n";
}

struct Mismatches {
  std::uint64_t count = 0;
  std::uint32_t first_pattern = 0;
};

/// Calls check(pattern), which answers whether all is well, for the magnitudes [0, 2^31) in rising
/// order, once for each sign. make_check() makes each thread's own, so it may keep a position.
template <typename MakeCheck>
std::array<Mismatches, 2> sweep(const MakeCheck& make_check) {
  std::array<Mismatches, 2> result;
  const auto run = [&](std::uint32_t sign, Mismatches& mismatches) {
    auto check = make_check();
    for (std::uint64_t rest = 0; rest < 0x8000'0000u; rest += kStride) {
      const auto pattern = static_cast<std::uint32_t>(rest) | sign;
      if (check(pattern)) continue;
      if (mismatches.count == 0) mismatches.first_pattern = pattern;
      ++mismatches.count;
    }
  };
  std::thread negative([&] { run(0x8000'0000u, result[1]); });
  run(0u, result[0]);
  negative.join();
  return result;
}

inline void expect_no_mismatch(const std::array<Mismatches, 2>& mismatches) {
  for (const Mismatches& half : mismatches) {
    EXPECT_EQ(half.count, 0u) << "first at 0x" << std::hex << half.first_pattern << " = "
                              << scalar::from_bits(half.first_pattern);
  }
}

}  // namespace cuqat::test
