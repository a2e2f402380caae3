#include "turns.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

namespace simt {

std::string Order::name() const {
  switch (kind) {
    case Kind::kForward:
      return "forward";
    case Kind::kReverse:
      return "reverse";
    case Kind::kWarpInterleaved:
      return "warp_interleaved";
    case Kind::kOneWarpAhead:
      return "one_warp_ahead_" + std::to_string(seed);
    case Kind::kRandom:
      return "random_" + std::to_string(seed);
  }
  return "unknown";
}

std::vector<Order> all_orders(int num_random) {
  // The seed 0 would put warp 0 ahead, which is the forward order.
  std::vector<Order> orders = {{Order::Kind::kForward, 0},
                               {Order::Kind::kReverse, 0},
                               {Order::Kind::kWarpInterleaved, 0},
                               {Order::Kind::kOneWarpAhead, 1},
                               {Order::Kind::kOneWarpAhead, 2}};
  for (int seed = 0; seed < num_random; ++seed) {
    orders.push_back({Order::Kind::kRandom, static_cast<std::uint64_t>(seed)});
  }
  return orders;
}

Turns::Turns(Order order, unsigned num_threads, std::uint64_t launch)
    : random_(order.kind == Order::Kind::kRandom),
      generator_((order.seed << 32) + launch),
      thread_of_rank_(num_threads),
      rank_of_thread_(num_threads) {
  std::iota(thread_of_rank_.begin(), thread_of_rank_.end(), 0u);
  if (order.kind == Order::Kind::kReverse) {
    std::reverse(thread_of_rank_.begin(), thread_of_rank_.end());
  } else if (order.kind == Order::Kind::kWarpInterleaved) {
    std::stable_sort(thread_of_rank_.begin(), thread_of_rank_.end(),
                     [](unsigned a, unsigned b) { return a % kWarpSize < b % kWarpSize; });
  } else if (order.kind == Order::Kind::kOneWarpAhead) {
    const unsigned num_warps = (num_threads + kWarpSize - 1) / kWarpSize;
    const auto ahead = static_cast<unsigned>(order.seed % num_warps);
    std::stable_partition(thread_of_rank_.begin(), thread_of_rank_.end(),
                          [ahead](unsigned thread) { return thread / kWarpSize == ahead; });
  }
  for (unsigned rank = 0; rank < num_threads; ++rank) rank_of_thread_[thread_of_rank_[rank]] = rank;
}

void Turns::set_ready(unsigned thread) {
  const unsigned rank = rank_of_thread_[thread];
  ready_[rank / 64] |= std::uint64_t{1} << rank % 64;
  ++num_ready_;
}

std::optional<unsigned> Turns::next() {
  if (num_ready_ == 0) return std::nullopt;
  unsigned first = 0;
  if (random_) {
    // The first that is ready at or after a rank, and around: cheaper than any of them alike.
    // std::uniform_int_distribution may differ between libraries.
    const std::uint64_t draw = generator_() >> 32;
    first = static_cast<unsigned>(draw * thread_of_rank_.size() >> 32);
  }
  unsigned word = first / 64;
  std::uint64_t bits = ready_[word] & ~std::uint64_t{0} << first % 64;
  for (; bits == 0; bits = ready_[word]) word = (word + 1) % kWords;
  const auto bit = static_cast<unsigned>(std::countr_zero(bits));
  ready_[word] &= ~(std::uint64_t{1} << bit);
  --num_ready_;
  return thread_of_rank_[word * 64 + bit];
}

bool Turns::preempt() { return random_ && generator_() % 8 == 0; }

BlockOrder::BlockOrder(Order order, std::uint64_t num_blocks) : num_blocks_(num_blocks) {
  if (order.kind == Order::Kind::kForward || num_blocks == 1) return;
  if (order.kind == Order::Kind::kReverse) {
    first_ = num_blocks - 1;
    stride_ = num_blocks - 1;  // -1 modulo num_blocks
    return;
  }
  // A stride that has no divisor in common with the number of blocks meets each block once.
  std::mt19937_64 generator(order.seed);
  first_ = generator() % num_blocks;
  do stride_ = 1 + generator() % (num_blocks - 1);
  while (std::gcd(stride_, num_blocks) != 1);
}

std::uint64_t BlockOrder::operator[](std::uint64_t step) const {
  // A grid has fewer than 2^63 blocks, but the product may need 128 bits.
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((Wide{first_} + Wide{step} * stride_) % num_blocks_);
}

}  // namespace simt
