// What the sanitizers find in kernels. Each case is compiled only where its sanitizer is.
#include <cstdlib>

#include "simt/test_support.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

namespace simt::test {
namespace {

/// Each case runs in a process of its own, started afresh.
class SanitizerTest : public ::testing::Test {
 protected:
  SanitizerTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// Launches on a new stream, and waits for it.
template <class... Params, class... Args>
void run(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, Args... args) {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  const cudaLaunchConfig_t config{grid, block, shared_bytes, stream, nullptr, 0};
  cudaLaunchKernelEx(&config, kernel, args...);
  cudaStreamSynchronize(stream);
  cudaStreamDestroy(stream);
}

unsigned* device_words(std::size_t count) {
  unsigned* words = nullptr;
  cudaMalloc(&words, count * sizeof(unsigned));
  cudaMemset(words, 0, count * sizeof(unsigned));
  cudaDeviceSynchronize();
  return words;
}

#ifdef __SANITIZE_ADDRESS__

__global__ void write_at_kernel(unsigned* x, int index) {
  x[index + static_cast<int>(threadIdx.x)] = 1;
}
__global__ void write_shared_kernel(int index) { shared_storage<unsigned>()[index] = 1; }

using AddressSanitizer = SanitizerTest;

TEST_F(AddressSanitizer, FindsGlobalAccessOutOfBounds) {
  unsigned* const x = device_words(33);
  EXPECT_DEATH(run(write_at_kernel, 1, 32, 0, x, 2), "heap-buffer-overflow");
  EXPECT_DEATH(run(write_at_kernel, 1, 32, 0, x, -1), "heap-buffer-overflow");
  run(write_at_kernel, 1, 32, 0, x, 1);
  cudaFree(x);
}

/// Both sanitizers are in this build.
__global__ void read_pair_kernel(unsigned* x) {
  *reinterpret_cast<unsigned long long*>(x + 1) = threadIdx.x;
}

TEST_F(AddressSanitizer, AndUndefinedBehaviourOnesFindMisalignedAccess) {
  EXPECT_DEATH(run(read_pair_kernel, 1, 1, 0, device_words(4)), "misaligned address");
}

TEST_F(AddressSanitizer, FindsGlobalAccessAfterFree) {
  EXPECT_DEATH(
      {
        unsigned* const x = device_words(1);
        cudaFree(x);
        run(write_at_kernel, 1, 1, 0, x, 0);
      },
      "heap-use-after-free");
}

TEST_F(AddressSanitizer, FindsSharedAccessOutOfBounds) {
  EXPECT_DEATH(run(write_shared_kernel, 1, 1, 20, 5), "use-after-poison");
  EXPECT_DEATH(run(write_shared_kernel, 1, 1, 20, -1), "use-after-poison");
  EXPECT_DEATH(run(write_shared_kernel, 1, 1, 0, 0), "use-after-poison");
  EXPECT_DEATH(run(write_shared_kernel, 1, 1, 20, 227 * 256), "use-after-poison");
  run(write_shared_kernel, 1, 1, 20, 4);
}

TEST_F(AddressSanitizer, FindsSharedAccessOfTheHost) {
  EXPECT_DEATH(shared_storage<unsigned>()[0] = 1, "use-after-poison");
}

#endif

#ifdef __SANITIZE_THREAD__

constexpr unsigned kAll = 0xffffffffu;

/// Each thread takes what its neighbour left, with or without a barrier between.
template <bool kBarrier>
__global__ void neighbour_kernel(unsigned* result) {
  unsigned* const values = shared_storage<unsigned>();
  values[threadIdx.x] = threadIdx.x;
  if (kBarrier) __syncthreads();
  result[blockIdx.x * blockDim.x + threadIdx.x] = values[(threadIdx.x + 1) % blockDim.x];
}

/// The same within a warp. A shuffle is not a barrier.
template <bool kBarrier>
__global__ void warp_neighbour_kernel(unsigned* result) {
  unsigned* const values = shared_storage<unsigned>();
  values[threadIdx.x] = threadIdx.x;
  if (kBarrier) {
    __syncwarp();
  } else {
    __shfl_sync(kAll, 1, 0);
  }
  result[threadIdx.x] = values[threadIdx.x ^ 1];
}

/// The second barrier is missing: a thread writes the next round's value over one that is read.
template <bool kBarrier>
__global__ void rounds_kernel(unsigned* result) {
  unsigned* const values = shared_storage<unsigned>();
  unsigned sum = 0;
  for (unsigned round = 0; round < 3; ++round) {
    values[threadIdx.x] = threadIdx.x + round;
    __syncthreads();
    sum += values[(threadIdx.x + 40) % blockDim.x];
    if (kBarrier) __syncthreads();
  }
  result[threadIdx.x] = sum;
}

/// Blocks write to one word: the same, or each its own. The barrier must not order blocks.
__global__ void block_kernel(unsigned* result, unsigned stride) {
  shared_storage<unsigned>()[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) result[blockIdx.x * stride] = blockIdx.x;
  __syncthreads();
}

__global__ void atomic_kernel(unsigned* result) { atomicAdd(result, 1u); }

/// Without fences a ticket passes no data.
template <bool kFence>
__global__ void last_block_kernel(unsigned* partial, unsigned* ticket) {
  partial[1 + blockIdx.x] = 1;
  if (kFence) __threadfence();
  const bool is_last = atomicAdd(ticket, 1u) == gridDim.x - 1;
  if (kFence) __threadfence();
  if (is_last) partial[0] = partial[1] + partial[2] + partial[3];
}

using ThreadSanitizer = SanitizerTest;

/// Exits with ThreadSanitizer's verdict: 66 after a report.
template <class Work>
[[noreturn]] void run_and_exit(Work work) {
  for (const Order order : all_orders(2)) {
    set_order(order);
    work();
  }
  std::exit(fault().empty() ? 0 : 1);
}
#define EXPECT_RACE(...) \
  EXPECT_EXIT(run_and_exit([] { __VA_ARGS__; }), ::testing::ExitedWithCode(66), "data race")
#define EXPECT_NO_RACE(...) \
  EXPECT_EXIT(run_and_exit([] { __VA_ARGS__; }), ::testing::ExitedWithCode(0), "^$")

TEST_F(ThreadSanitizer, FindsAMissingBlockBarrier) {
  EXPECT_RACE(run(neighbour_kernel<false>, 1, 96, 384, device_words(96)));
  EXPECT_NO_RACE(run(neighbour_kernel<true>, 3, 96, 384, device_words(288)));
}

TEST_F(ThreadSanitizer, FindsAMissingSecondBarrier) {
  EXPECT_RACE(run(rounds_kernel<false>, 1, 96, 384, device_words(96)));
  EXPECT_NO_RACE(run(rounds_kernel<true>, 1, 96, 384, device_words(96)));
}

TEST_F(ThreadSanitizer, FindsAMissingWarpBarrier) {
  EXPECT_RACE(run(warp_neighbour_kernel<false>, 1, 32, 128, device_words(32)));
  EXPECT_NO_RACE(run(warp_neighbour_kernel<true>, 1, 64, 256, device_words(64)));
}

TEST_F(ThreadSanitizer, FindsARaceBetweenBlocks) {
  EXPECT_RACE(run(block_kernel, 2, 64, 256, device_words(1), 0u));
  EXPECT_NO_RACE(run(block_kernel, 7, 64, 256, device_words(7), 1u));
}

TEST_F(ThreadSanitizer, KnowsAtomicsAndFences) {
  EXPECT_NO_RACE(run(atomic_kernel, 3, 64, 0, device_words(1)));
  EXPECT_NO_RACE(run(last_block_kernel<true>, 3, 1, 0, device_words(4), device_words(1)));
  EXPECT_RACE(run(last_block_kernel<false>, 3, 1, 0, device_words(4), device_words(1)));
}

/// Two launches write the same word, on one stream or on two, with or without an event between.
void two_launches(bool one_stream, bool event_between) {
  unsigned* const x = device_words(1);
  cudaStream_t first = nullptr, second = nullptr;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEvent_t event = nullptr;
  cudaEventCreate(&event);
  cudaLaunchConfig_t config{1, 32, 128, first, nullptr, 0};
  cudaLaunchKernelEx(&config, block_kernel, x, 0u);
  cudaEventRecord(event, first);
  if (event_between) cudaStreamWaitEvent(second, event);
  config.stream = one_stream ? first : second;
  cudaLaunchKernelEx(&config, block_kernel, x, 0u);
  cudaDeviceSynchronize();
}

TEST_F(ThreadSanitizer, KnowsTheOrderOfStreams) {
  EXPECT_NO_RACE(two_launches(true, false));
  EXPECT_NO_RACE(two_launches(false, true));
  EXPECT_RACE(two_launches(false, false));
}

/// A stream writes a word, another has blocks of other work, then that one writes the word too. Or
/// the host waits for that one only, and reads the word.
void others_between(unsigned num_blocks, unsigned num_threads, bool by_host) {
  unsigned* const x = device_words(1);
  unsigned* const other = device_words(num_blocks);
  cudaStream_t first = nullptr, second = nullptr;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaLaunchConfig_t config{1, 256, 1024, first, nullptr, 0};
  cudaLaunchKernelEx(&config, block_kernel, x, 0u);
  config = {num_blocks, num_threads, 1024, second, nullptr, 0};
  cudaLaunchKernelEx(&config, block_kernel, other, 1u);
  if (by_host) {
    cudaStreamSynchronize(second);
    if (*x != 0) std::abort();
    return;
  }
  config.gridDim = 1;
  cudaLaunchKernelEx(&config, block_kernel, x, 0u);
  cudaDeviceSynchronize();
}

TEST_F(ThreadSanitizer, FindsARaceOfStreamsWithOtherWorkBetween) {
  EXPECT_RACE(others_between(2, 256, false));
  EXPECT_RACE(others_between(3, 32, false));
  EXPECT_RACE(others_between(3, 256, true));
}

/// A kernel on a stream that does not block uses what the host has just copied or filled.
void use_of_a_copy(bool wait, bool by_memset) {
  unsigned* x = nullptr;
  const unsigned zero = 0;
  cudaMalloc(&x, sizeof zero);
  by_memset ? cudaMemset(x, 0, sizeof zero)
            : cudaMemcpy(x, &zero, sizeof zero, cudaMemcpyHostToDevice);
  if (wait) cudaDeviceSynchronize();
  run(block_kernel, 1, 32, 128, x, 0u);
}

TEST_F(ThreadSanitizer, FindsAKernelThatDoesNotWaitForACopy) {
  EXPECT_RACE(use_of_a_copy(false, false));
  EXPECT_RACE(use_of_a_copy(false, true));
  EXPECT_NO_RACE(use_of_a_copy(true, false));
  EXPECT_NO_RACE(use_of_a_copy(true, true));
}

void read_result(bool wait) {
  unsigned* const x = device_words(1);
  unsigned host = 0;
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaMemcpyAsync(&host, x, sizeof host, cudaMemcpyDeviceToHost, stream);
  if (wait) cudaStreamSynchronize(stream);
  if (host != 0) std::abort();
}

TEST_F(ThreadSanitizer, FindsAHostThatDoesNotWait) {
  EXPECT_RACE(read_result(false));
  EXPECT_NO_RACE(read_result(true));
}

#endif

}  // namespace
}  // namespace simt::test

#endif
