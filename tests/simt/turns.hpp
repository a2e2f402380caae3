// Whose turn it is: the threads of a block that can run, in the order that the test asked for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "executor.hpp"
#include "support/random.hpp"

namespace simt {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kMaxThreads = 1024;

class Turns {
 public:
  /// `launch` makes the random orders of two launches differ.
  Turns(Order order, unsigned num_threads, std::uint64_t launch);

  void set_ready(unsigned thread);
  /// The thread whose turn it is; it counts as not ready from then on.
  std::optional<unsigned> next();
  /// True once in eight, in the random order.
  bool preempt();

 private:
  static constexpr unsigned kWords = kMaxThreads / 64;

  bool random_;
  cuqat::test::Random generator_;
  std::vector<unsigned> thread_of_rank_;
  std::vector<unsigned> rank_of_thread_;
  std::array<std::uint64_t, kWords> ready_{};  // one bit for each rank
  unsigned num_ready_ = 0;
};

/// Each block of a grid once, in an order that takes no memory: a grid may have 2^31 blocks.
class BlockOrder {
 public:
  BlockOrder(Order order, std::uint64_t num_blocks);
  [[nodiscard]] std::uint64_t operator[](std::uint64_t step) const;

 private:
  std::uint64_t num_blocks_;
  std::uint64_t first_ = 0;
  std::uint64_t stride_ = 1;
};

}  // namespace simt
