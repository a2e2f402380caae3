// Work in fixed chunks over threads. Which thread takes a chunk is left to the machine; what a
// chunk is depends on the data's size alone, so results never depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cuqat::cpu {

/// Elements of a chunk of element-wise work. Smaller inputs stay on the calling thread.
inline constexpr std::int64_t kChunk = 65'536;

/// body(first, last) for each chunk of [0, count). body must not throw.
template <typename Body>
void for_each_chunk(std::int64_t count, std::int64_t chunk, int num_threads, const Body& body) {
  const std::int64_t num_chunks = count / chunk + (count % chunk != 0 ? 1 : 0);
  const auto threads = static_cast<int>(std::min<std::int64_t>(num_threads, num_chunks));
  const auto run = [&](std::int64_t i) noexcept {
    body(i * chunk, std::min(count - i * chunk, chunk) + i * chunk);
  };
  if (threads <= 1) {
    for (std::int64_t i = 0; i < num_chunks; ++i) run(i);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads) default(shared)
  for (std::int64_t i = 0; i < num_chunks; ++i) run(i);
}

/// body(share, first, last) for `num_shares` parts of [0, count), each on a thread of its own: for
/// work that needs memory of its own. body must not throw.
template <typename Body>
void for_each_share(std::int64_t count, int num_shares, const Body& body) {
  const std::int64_t each = count / num_shares;
  const auto run = [&](int i) noexcept {
    body(i, each * i, i + 1 == num_shares ? count : each * (i + 1));
  };
  if (num_shares == 1) return run(0);
#pragma omp parallel for schedule(static, 1) num_threads(num_shares) default(shared)
  for (int i = 0; i < num_shares; ++i) run(i);
}

}  // namespace cuqat::cpu
