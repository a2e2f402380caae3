// Random numbers that are the same everywhere and cheap to draw: tests make millions of them.
#pragma once

#include <cmath>
#include <cstdint>

namespace cuqat::test {

/// A Weyl sequence with a mixing function (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0xd134'2543'de82'ef95u + 1) {}

  std::uint64_t operator()() {
    state_ += 0x9e37'79b9'7f4a'7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebu;
    return z ^ (z >> 31);
  }

  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>((*this)() >> 11) * 0x1p-53);
  }

  /// Close to normal: the sum of four uniform numbers, of mean 0 and deviation 1.
  double normal() {
    const std::uint64_t bits = (*this)();
    const std::uint64_t low = (bits & 0xffff) + (bits >> 16 & 0xffff);
    const std::uint64_t sum = low + (bits >> 32 & 0xffff) + (bits >> 48);
    return (static_cast<double>(sum) * 0x1p-16 - 2.0) * 1.7320508075688772;
  }

 private:
  std::uint64_t state_;
};

}  // namespace cuqat::test
