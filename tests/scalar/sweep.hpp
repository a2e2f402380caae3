// Every f32 pattern, or a sample of them in a sanitizer build, in order and on two threads.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <numeric>
#include <thread>
#include <utility>

#include "cuqat/scalar/bits.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {

/// Prime, so that every mantissa pattern's low bits come up.
inline constexpr std::uint32_t kStride = kSanitized ? 257 : 1;

/// Says what the sweep leaves out.
inline void announce_stride() {
  if (kStride == 1) return;
  std::cout << "[ sample   ] every " << kStride << "th pattern: this is a sanitizer build\n";
}

struct Mismatches {
  std::uint64_t count = 0;
  std::uint32_t first_pattern = 0;
};

/// As many as a check is given at a time, so that its loops are compiled to vector instructions.
inline constexpr std::size_t kPatternsAtATime = 1024;
using Patterns = std::array<std::uint32_t, kPatternsAtATime>;
using Verdicts = std::array<std::uint8_t, kPatternsAtATime>;

/// Calls check(patterns, right), which sets each of `right` to 0 or 1, for the magnitudes [0, 2^31)
/// in rising order, once for each sign. make_check() makes each thread's own, so it may keep a
/// position.
template <typename MakeCheck>
std::array<Mismatches, 2> sweep(const MakeCheck& make_check) {
  std::array<Mismatches, 2> result;
  const auto run = [&](std::uint32_t sign, Mismatches& mismatches) {
    auto check = make_check();
    Patterns patterns;
    Verdicts right;
    for (std::uint64_t rest = 0; rest < 0x8000'0000u; rest += kPatternsAtATime * kStride) {
      // A sample may end within its last patterns, which are then filled with a NaN.
      for (std::uint32_t i = 0; i < patterns.size(); ++i) {
        const std::uint32_t magnitude = static_cast<std::uint32_t>(rest) + i * kStride;
        patterns[i] = std::min(magnitude, 0x7fff'ffffu) | sign;
      }
      right.fill(0);
      check(std::as_const(patterns), right);
      const std::uint32_t num_right = std::accumulate(right.begin(), right.end(), 0u);
      if (num_right == right.size()) continue;
      if (mismatches.count == 0) {
        const auto first = std::find(right.begin(), right.end(), 0) - right.begin();
        mismatches.first_pattern = patterns[static_cast<std::size_t>(first)];
      }
      mismatches.count += right.size() - num_right;
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
