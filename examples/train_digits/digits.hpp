// The images to learn from: UCI's handwritten digits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "matrix.hpp"

inline constexpr std::int64_t kPixels = 64;
inline constexpr std::int64_t kClasses = 10;

struct Images {
  Matrix pixels;            // A row an image, from 0 to 1.
  std::vector<int> digits;  // What they show.
};

struct Digits {
  Images train;  // 1347 images.
  Images test;   // 450, which training never sees.
};

/// Which images are for testing depends on the seed alone.
Digits load_digits(const std::string& path, std::uint64_t split_seed);

/// The rows of `from` that are asked for.
Images select(const Images& from, const std::vector<std::int64_t>& rows);

/// The numbers from 0 to count - 1 in an order that depends on the seed alone.
std::vector<std::int64_t> shuffled(std::int64_t count, std::uint64_t seed);
