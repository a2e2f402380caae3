// Sums of 128 bits. What a lost carry changes is too small to change an answer of calibration that
// a test could know, so the sums themselves are compared.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "simt/executor.hpp"
#include "support/device_memory.hpp"
#include "support/random.hpp"
#include "wide_sum.cuh"

namespace cuqat::test {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr int kProductsOfThread = 5;

/// Each thread sums its products, and adds that to the sum of all.
__global__ void sum_kernel(const std::uint64_t* factors, gpu::WideSum* sum) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  gpu::WideSum own{0, 0};
  for (int i = 0; i < kProductsOfThread; ++i) {
    const std::uint64_t* const pair = factors + 2 * (kProductsOfThread * thread + i);
    own.add_product(pair[0], pair[1]);
  }
  sum->atomic_add(own);
}

/// Of 64 bits, or of so few that the low word alone has the sum.
std::vector<std::uint64_t> random_factors(int bits, std::size_t count) {
  Random random(static_cast<std::uint64_t>(bits));
  std::vector<std::uint64_t> factors(count);
  for (std::uint64_t& factor : factors) factor = random() >> (64 - bits);
  return factors;
}

TEST(WideSum, IsThatOf128BitsInEveryOrder) {
  constexpr unsigned kBlocks = 3;
  constexpr unsigned kThreads = 64;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  for (const int bits : {8, 32, 33, 60}) {
    const std::vector<std::uint64_t> factors =
        random_factors(bits, std::size_t{2} * kProductsOfThread * kBlocks * kThreads);
    Wide expected = 0;
    for (std::size_t i = 0; i < factors.size(); i += 2) {
      expected += Wide{factors[i]} * factors[i + 1];
    }
    const DeviceMemory device_factors(factors);
    for (const simt::Order& order : simt::all_orders(3)) {
      simt::set_order(order);
      const DeviceMemory sum(std::vector<gpu::WideSum>{{0, 0}});
      const cudaLaunchConfig_t config{kBlocks, kThreads, 0, stream, nullptr, 0};
      ASSERT_EQ(cudaLaunchKernelEx(&config, sum_kernel, device_factors.as<const std::uint64_t>(),
                                   sum.as<gpu::WideSum>()),
                cudaSuccess);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess) << simt::fault();
      const gpu::WideSum found = sum.content<gpu::WideSum>().front();
      EXPECT_EQ(found.high, static_cast<std::uint64_t>(expected >> 64)) << bits << order.name();
      EXPECT_EQ(found.low, static_cast<std::uint64_t>(expected)) << bits << order.name();
    }
  }
  simt::set_order({});
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
}  // namespace cuqat::test
