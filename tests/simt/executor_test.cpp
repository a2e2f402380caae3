// Correct kernels give the right result in every order; wrong ones differ between orders.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <set>

#include "simt/test_support.hpp"

namespace simt::test {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__device__ std::int64_t global_thread() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ std::int64_t num_threads() { return std::int64_t{gridDim.x} * blockDim.x; }

/// Grid-stride loop, shuffles within the warp, shared memory between warps, an atomic at the end.
__global__ void sum_kernel(const int* x, std::int64_t n, unsigned long long* result) {
  unsigned long long* const sums = shared_storage<unsigned long long>();
  unsigned long long sum = 0;
  for (std::int64_t i = global_thread(); i < n; i += num_threads()) {
    sum += static_cast<unsigned long long>(x[i]);
  }
  for (int distance = warpSize / 2; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(kAll, sum, distance);
  }
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0;
    for (int distance = 16; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(kAll, sum, distance);
    }
    if (threadIdx.x == 0) atomicAdd(result, sum);
  }
}

__global__ void histogram_kernel(const int* x, std::int64_t n, unsigned* counts) {
  unsigned* const own = shared_storage<unsigned>();
  for (unsigned bin = threadIdx.x; bin < 64; bin += blockDim.x) own[bin] = 0;
  __syncthreads();
  for (std::int64_t i = global_thread(); i < n; i += num_threads()) atomicAdd(&own[x[i] & 63], 1u);
  __syncthreads();
  for (unsigned bin = threadIdx.x; bin < 64; bin += blockDim.x) atomicAdd(&counts[bin], own[bin]);
}

class Orders : public ExecutorTest, public ::testing::WithParamInterface<Order> {
 protected:
  Orders() { set_order(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(All, Orders, ::testing::ValuesIn(all_orders(6)),
                         [](const auto& test) { return test.param.name(); });

TEST_P(Orders, ReduceABlock) {
  std::vector<int> x(10007);
  std::iota(x.begin(), x.end(), 1);
  const DeviceArray<int> input(x);
  const DeviceArray<unsigned long long> result(1);
  ASSERT_EQ(launch(sum_kernel, 3, 256, 64, input.get(), 10007, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(result.content()[0], 10007ull * 10008 / 2);
}

TEST_P(Orders, CountIntoSharedMemory) {
  std::vector<int> x(5003);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * i % 61);
  std::vector<unsigned> expected(64);
  for (const int value : x) ++expected[static_cast<std::size_t>(value)];
  const DeviceArray<int> input(x);
  const DeviceArray<unsigned> counts(64);
  ASSERT_EQ(launch(histogram_kernel, 5, 96, 256, input.get(), 5003, counts.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(counts.content(), expected);
}

__global__ void partial_ballot_kernel(unsigned* result) {
  const unsigned lane = threadIdx.x % 32;
  // Two groups of lanes vote apart, one of them twice.
  if (lane < 12) {
    result[threadIdx.x] = __ballot_sync(0x00000fffu, lane % 3 == 0);
  } else {
    __syncwarp(0xfffff000u);
    const bool agree = __all_sync(0xfffff000u, lane >= 12) && !__any_sync(0xfffff000u, lane < 12);
    result[threadIdx.x] = agree ? __ballot_sync(0xfffff000u, lane % 2) : 0;
  }
}

TEST_P(Orders, VoteUnderPartialMasks) {
  const DeviceArray<unsigned> result(64);
  ASSERT_EQ(launch(partial_ballot_kernel, 1, 64, 0, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  const std::vector<unsigned> votes = result.content();
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(votes[i], i % 32 < 12 ? 0x249u : 0xaaaaa000u);
}

/// One add for each distinct value of a warp; the last warp has seven lanes.
__global__ void matched_kernel(const int* x, unsigned n, unsigned* counts) {
  const unsigned lanes = n - threadIdx.x / 32 * 32;
  const unsigned mask = lanes >= 32 ? kAll : (1u << lanes) - 1;
  const unsigned peers = __match_any_sync(mask, x[threadIdx.x]);
  if (__ffs(static_cast<int>(peers)) - 1 == static_cast<int>(threadIdx.x % 32)) {
    atomicAdd(&counts[x[threadIdx.x]], static_cast<unsigned>(__popc(peers)));
  }
}

TEST_P(Orders, MatchValuesInAPartialWarp) {
  std::vector<int> x(39);
  std::vector<unsigned> expected(5);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<int>(i * i % 5);
    ++expected[i * i % 5];
  }
  const DeviceArray<int> input(x);
  const DeviceArray<unsigned> counts(5);
  ASSERT_EQ(launch(matched_kernel, 1, 39, 0, input.get(), 39u, counts.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(counts.content(), expected);
}

__global__ void shuffles_kernel(long long* result) {
  const auto lane = static_cast<int>(threadIdx.x);
  result[lane] = __shfl_sync(kAll, lane * 10, lane + 33);  // modulo the width
  result[32 + lane] = __shfl_up_sync(kAll, lane, 3u);      // the first three keep theirs
  result[64 + lane] = __shfl_down_sync(kAll, (1ll << 40) + lane, 3u);
}

TEST_P(Orders, Shuffle) {
  const DeviceArray<long long> result(96);
  ASSERT_EQ(launch(shuffles_kernel, 1, 32, 0, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  const std::vector<long long> values = result.content();
  for (std::size_t i = 0; i < 32; ++i) {
    const auto lane = static_cast<long long>(i);
    EXPECT_EQ(values[i], (lane + 1) % 32 * 10);
    EXPECT_EQ(values[32 + i], lane < 3 ? lane : lane - 3);
    EXPECT_EQ(values[64 + i], (1ll << 40) + (lane > 28 ? lane : lane + 3));
  }
}

/// The last block to come adds up what the others left: fences on both sides of the ticket.
__global__ void last_block_kernel(unsigned* partial, unsigned* ticket, unsigned* result) {
  unsigned* const is_last = shared_storage<unsigned>();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = blockIdx.x + 1;
    __threadfence();
    *is_last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (*is_last != 0 && threadIdx.x < gridDim.x) atomicAdd(result, partial[threadIdx.x]);
}

TEST_P(Orders, PassDataToTheLastBlock) {
  const DeviceArray<unsigned> partial(20), ticket(1), result(1);
  ASSERT_EQ(launch(last_block_kernel, 20, 32, 4, partial.get(), ticket.get(), result.get()),
            cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(result.content()[0], 210u);
}

__global__ void atomics_kernel(int* i, unsigned* u, long long* l, unsigned long long* w) {
  const auto t = static_cast<int>(threadIdx.x);
  atomicMin(&i[0], -t);
  atomicMax(&i[1], t);
  atomicAdd(&i[2], -1);
  atomicOr(&u[0], 1u << t % 32);
  atomicAnd(&u[1], ~(1u << t % 32));
  atomicMin(&l[0], -(1ll << 40) - t);
  atomicMax(&l[1], (1ll << 40) + t);
  // Unsigned: numbers with the upper bit set are the large ones.
  atomicMin(&w[1], (1ull << 63) + static_cast<unsigned>(t));
  atomicMax(&w[2], (1ull << 63) + static_cast<unsigned>(t));
  atomicExch(&u[2], 7u);
  // An add made of a loop around compare-and-swap.
  unsigned long long seen = atomicCAS(w, 0, 0);
  for (;;) {
    const unsigned long long before = atomicCAS(w, seen, seen + 3);
    if (before == seen) break;
    seen = before;
  }
}

__global__ void shape_kernel(unsigned* result) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  atomicAdd(&result[block * blockDim.x * blockDim.y * blockDim.z + thread], thread + 1);
}

TEST_P(Orders, RunEachThreadOfEachBlockOnce) {
  const DeviceArray<unsigned> result(2 * 3 * 4 * 60);
  ASSERT_EQ(launch(shape_kernel, dim3(2, 3, 4), dim3(5, 4, 3), 0, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  const std::vector<unsigned> content = result.content();
  for (std::size_t i = 0; i < content.size(); ++i) ASSERT_EQ(content[i], i % 60 + 1);
}

TEST_P(Orders, UpdateByAtomicsOfEveryType) {
  const DeviceArray<int> i(3);
  const DeviceArray<unsigned> u(std::vector<unsigned>{0, kAll, 0});
  const DeviceArray<long long> l(2);
  const DeviceArray<unsigned long long> w(std::vector<unsigned long long>{0, ~0ull, 1});
  ASSERT_EQ(launch(atomics_kernel, 1, 64, 0, i.get(), u.get(), l.get(), w.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(i.content(), (std::vector<int>{-63, 63, -64}));
  EXPECT_EQ(u.content(), (std::vector<unsigned>{kAll, 0, 7}));
  EXPECT_EQ(l.content(), (std::vector<long long>{-(1ll << 40) - 63, (1ll << 40) + 63}));
  EXPECT_EQ(w.content(), (std::vector<unsigned long long>{192, 1ull << 63, (1ull << 63) + 63}));
}

TEST(DeviceFunctions, CountBits) {
  EXPECT_EQ(__popc(0xf0u), 4);
  EXPECT_EQ(__popcll(~0ull), 64);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clzll(-1), 0);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffsll(1ll << 40), 41);
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x12345678u), 0x1e6a2c48u);
}

__global__ void sequence_kernel(unsigned* ticket, unsigned* sequence) {
  sequence[atomicAdd(ticket, 1u)] = blockIdx.x * blockDim.x + threadIdx.x;
}

TEST_F(ExecutorTest, OrdersAreWhatTheySay) {
  const auto sequence = [&](Order::Kind kind, std::uint64_t seed) {
    set_order({kind, seed});
    const DeviceArray<unsigned> ticket(1), result(288);
    EXPECT_EQ(launch(sequence_kernel, 3, 96, 0, ticket.get(), result.get()), cudaSuccess);
    EXPECT_EQ(wait(), cudaSuccess) << fault();
    return result.content();
  };
  std::vector<unsigned> expected(288);
  std::iota(expected.begin(), expected.end(), 0u);
  EXPECT_EQ(sequence(Order::Kind::kForward, 0), expected);
  const std::vector<unsigned> random = sequence(Order::Kind::kRandom, 1);
  EXPECT_FALSE(std::is_sorted(random.begin(), random.end()));
  EXPECT_NE(sequence(Order::Kind::kRandom, 2), random);
  std::reverse(expected.begin(), expected.end());
  EXPECT_EQ(sequence(Order::Kind::kReverse, 0), expected);
  // Of the others the block order is left to the seed.
  const std::vector<unsigned> interleaved = sequence(Order::Kind::kWarpInterleaved, 0);
  for (unsigned i = 0; i < 96; ++i) EXPECT_EQ(interleaved[i] % 96, i % 3 * 32 + i / 3);
  const std::vector<unsigned> ahead = sequence(Order::Kind::kOneWarpAhead, 2);
  for (unsigned i = 0; i < 96; ++i) EXPECT_EQ(ahead[i] % 96, (i + 64) % 96);
}

#ifndef __SANITIZE_THREAD__  // it is a race, after all
__global__ void who_wrote_last_kernel(unsigned* result) { *result = threadIdx.x; }

TEST_F(ExecutorTest, AResultThatDependsOnTheOrderDiffersBetweenOrders) {
  std::set<unsigned> results;
  for (const Order order : all_orders(4)) {
    set_order(order);
    const DeviceArray<unsigned> result(1);
    ASSERT_EQ(launch(who_wrote_last_kernel, 1, 128, 0, result.get()), cudaSuccess);
    ASSERT_EQ(wait(), cudaSuccess);
    results.insert(result.content()[0]);
  }
  EXPECT_GE(results.size(), 4u);
}
#endif

}  // namespace
}  // namespace simt::test

template <class T>
__global__ void uninitialised_kernel(T* result) {
  // From the global namespace: the arena must have that name as well.
  extern __shared__ __align__(16) unsigned char cuqat_shared_memory[];
  const T* const words = reinterpret_cast<const T*>(cuqat_shared_memory);
  result[blockIdx.x] = words[threadIdx.x];
  __syncthreads();
  reinterpret_cast<T*>(cuqat_shared_memory)[threadIdx.x] = 1;
}

namespace simt::test {

TEST_F(ExecutorTest, SharedMemoryOfEachBlockStartsWithoutContent) {
  const DeviceArray<unsigned> result(3);
  ASSERT_EQ(launch(uninitialised_kernel<unsigned>, 3, 1, 4, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(result.content(), std::vector<unsigned>(3, 0xcdcdcdcdu));
}

}  // namespace simt::test
