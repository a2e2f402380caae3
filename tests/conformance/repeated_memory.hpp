// Tensors in device memory, too large for the host, that repeat a few elements.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"

namespace cuqat::test {

/// Why not, or an empty text.
inline std::string too_little_memory(std::size_t bytes) {
  constexpr std::size_t kSpare = std::size_t{256} << 20;
  std::size_t free = 0;
  std::size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  if (free >= bytes + kSpare) return {};
  return "NOT TESTED: " + std::to_string(bytes + kSpare) + " bytes of device memory needed, " +
         std::to_string(free) + " free";
}

/// Writes the period at the beginning, and repeats it up to the end, on the stream under test.
inline void repeat(std::byte* memory, std::size_t bytes, const Bytes& period) {
  ASSERT_EQ(cudaMemcpy(memory, period.data(), period.size(), cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (std::size_t done = period.size(); done < bytes;) {
    const std::size_t part = std::min(done, bytes - done);
    ASSERT_EQ(cudaMemcpyAsync(memory + done, memory, part, cudaMemcpyDeviceToDevice,
                              device_under_test().stream),
              cudaSuccess);
    done += part;
  }
}

/// The memory repeats the period from its beginning to its end.
inline void expect_repeats(const DeviceMemory& memory, const Bytes& period, const char* name) {
  const std::size_t most = (std::size_t{64} << 20) / period.size() * period.size();
  Bytes expected(std::min(most, memory.size_bytes() + period.size()));
  for (std::size_t i = 0; i < expected.size(); i += period.size()) {
    std::memcpy(expected.data() + i, period.data(), std::min(period.size(), expected.size() - i));
  }
  Bytes found(expected.size());
  for (std::size_t at = 0; at < memory.size_bytes(); at += most) {
    const std::size_t part = std::min(most, memory.size_bytes() - at);
    ASSERT_EQ(cudaMemcpy(found.data(), memory.as() + at, part, cudaMemcpyDeviceToHost),
              cudaSuccess);
    if (std::memcmp(found.data(), expected.data(), part) == 0) continue;
    const auto wrong = std::mismatch(found.begin(), found.end(), expected.begin()).first;
    FAIL() << name << " is wrong at byte " << at + static_cast<std::size_t>(wrong - found.begin())
           << " of " << memory.size_bytes();
  }
}

}  // namespace cuqat::test
