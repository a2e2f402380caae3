// Each planted fault is found, in every order, and described in one line.
#include <string>

#include "simt/test_support.hpp"

namespace simt::test {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void divergent_barrier_kernel() {
  if (threadIdx.x < 40) __syncthreads();
}
__global__ void two_barriers_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void barrier_against_shuffle_kernel() {
  if (threadIdx.x == 9) {
    __syncthreads();
  } else {
    __shfl_xor_sync(kAll, 1, 1);
  }
}
__global__ void two_operations_kernel() {
  if (threadIdx.x % 2 == 0) {
    __syncwarp();
  } else {
    __ballot_sync(kAll, 1);
  }
}
__global__ void two_masks_kernel() { __syncwarp(threadIdx.x < 16 ? kAll : 0xffff0000u); }
__global__ void two_sizes_kernel() {
  if (threadIdx.x == 0) {
    __shfl_sync(kAll, 1, 0);
  } else {
    __shfl_sync(kAll, 1ll, 0);
  }
}
__global__ void returned_lane_kernel() {
  if (threadIdx.x != 5) __syncwarp();
}
__global__ void own_lane_left_out_kernel() { __syncwarp(threadIdx.x == 3 ? ~8u : kAll); }
__global__ void missing_lane_kernel() { __ballot_sync(kAll, 1); }
__global__ void foreign_source_kernel() {
  if (threadIdx.x < 16) __shfl_sync(0xffffu, 1, 20);
}
__global__ void narrow_shuffle_kernel() { __shfl_xor_sync(kAll, 1, 1, 16); }
__global__ void far_shuffle_kernel() { __shfl_up_sync(kAll, 1, 32u); }
__global__ void circle_kernel() {
  // 0 waits for 1, 1 for 2, 2 for 0: no two of them name each other.
  const unsigned lane = threadIdx.x;
  if (lane < 3) __syncwarp(1u << lane | 1u << (lane + 1) % 3);
}
__global__ void throwing_kernel() { throw threadIdx.x; }

struct PlantedFault {
  const char* name;
  void (*kernel)();
  unsigned num_threads;
  const char* expected;
};

const PlantedFault kPlantedFaults[] = {
    {"divergent_barrier", divergent_barrier_kernel, 64, "reached by 40 of 64 threads"},
    {"two_barriers", two_barriers_kernel, 64, "waits at __syncthreads (fault_test.cpp:"},
    {"barrier_against_shuffle", barrier_against_shuffle_kernel, 32, "__shfl_xor_sync of 4 bytes"},
    {"two_operations", two_operations_kernel, 32, "__ballot_sync, mask 0xffffffff"},
    {"two_masks", two_masks_kernel, 32, "which names"},
    {"two_sizes", two_sizes_kernel, 32, "__shfl_sync of 8 bytes"},
    {"returned_lane", returned_lane_kernel, 32, "return"},
    {"own_lane_left_out", own_lane_left_out_kernel, 32, "leaves itself out"},
    {"missing_lane", missing_lane_kernel, 20, "names lane 20: the block has no such thread"},
    {"foreign_source", foreign_source_kernel, 32, "reads lane 20 in __shfl_sync"},
    {"narrow_shuffle", narrow_shuffle_kernel, 32, "a width other than 32"},
    {"far_shuffle", far_shuffle_kernel, 32, "a distance that is not in [0, 32)"},
    {"circle", circle_kernel, 32, "__syncwarp"},
    {"exception", throwing_kernel, 1, "threw an exception"},
};

class Faults : public ExecutorTest, public ::testing::WithParamInterface<PlantedFault> {};
INSTANTIATE_TEST_SUITE_P(Planted, Faults, ::testing::ValuesIn(kPlantedFaults),
                         [](const auto& test) { return test.param.name; });

TEST_P(Faults, AreFoundInEveryOrder) {
  for (const Order order : all_orders(4)) {
    SCOPED_TRACE(order.name());
    reset();
    set_order(order);
    EXPECT_EQ(launch(GetParam().kernel, 1, GetParam().num_threads, 0), cudaSuccess);
    EXPECT_EQ(wait(), cudaErrorLaunchFailure);
    EXPECT_TRUE(fault().starts_with("launch 0, block (0,0,0), thread (")) << fault();
    EXPECT_NE(fault().find(GetParam().expected), std::string::npos) << fault();
  }
}

__global__ void fine_kernel(unsigned* result) { *result = 17; }

using FaultTest = ExecutorTest;

TEST_F(FaultTest, AreStickyUntilReset) {
  const DeviceArray<unsigned> result(1);
  ASSERT_EQ(launch(returned_lane_kernel, 1, 32, 0), cudaSuccess);
  EXPECT_EQ(launch(fine_kernel, 1, 1, 0, result.get()), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorLaunchFailure);
  reset();
  EXPECT_EQ(fault(), "");
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  ASSERT_EQ(launch(fine_kernel, 1, 1, 0, result.get()), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess);
  EXPECT_EQ(result.content()[0], 17u);
}

TEST_F(FaultTest, NameTheLaunchAndTheBlock) {
  const DeviceArray<unsigned> result(1);
  ASSERT_EQ(launch(fine_kernel, 1, 1, 0, result.get()), cudaSuccess);
  set_order({Order::Kind::kReverse, 0});
  ASSERT_EQ(launch(divergent_barrier_kernel, dim3(2, 3), dim3(64, 2), 0), cudaSuccess);
  EXPECT_TRUE(fault().starts_with("launch 1, block (1,2,0), thread (")) << fault();
}

TEST_F(FaultTest, MemoryIsReleasedOnABrokenDevice) {
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  ASSERT_EQ(launch(returned_lane_kernel, 1, 32, 0), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorLaunchFailure);
  EXPECT_EQ(leaked_allocations(), 0u);
}

__global__ void empty_kernel() {}

TEST_F(FaultTest, LaunchLimitsAreEnforced) {
  const auto refused = [&](dim3 grid, dim3 block, std::size_t shared_bytes, cudaError_t expected) {
    reset();
    EXPECT_EQ(launch(empty_kernel, grid, block, shared_bytes), expected);
    EXPECT_EQ(cudaGetLastError(), expected);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_NE(fault(), "");
    EXPECT_EQ(wait(), cudaSuccess);
  };
  refused(0, 1, 0, cudaErrorInvalidConfiguration);
  refused(1, 0, 0, cudaErrorInvalidConfiguration);
  refused(1, dim3(1, 1, 0), 0, cudaErrorInvalidConfiguration);
  refused(0x80000000u, 1, 0, cudaErrorInvalidConfiguration);
  refused(dim3(1, 65536), 1, 0, cudaErrorInvalidConfiguration);
  refused(dim3(1, 1, 65536), 1, 0, cudaErrorInvalidConfiguration);
  refused(1, 1025, 0, cudaErrorInvalidConfiguration);
  refused(1, dim3(32, 33), 0, cudaErrorInvalidConfiguration);
  refused(1, dim3(1, 1, 65), 0, cudaErrorInvalidConfiguration);
  refused(1, 1, 49153, cudaErrorInvalidValue);
  reset();
  EXPECT_EQ(launch(empty_kernel, dim3(1, 65535), 1, 0), cudaSuccess);
  EXPECT_EQ(launch(empty_kernel, 1, dim3(16, 1, 64), 49152), cudaSuccess);
  EXPECT_EQ(fault(), "");
}

__global__ void large_shared_kernel(unsigned* result, unsigned last) {
  *result = shared_storage<unsigned>()[last];
}

TEST_F(FaultTest, TheSharedMemoryLimitOfAKernelCanBeRaised) {
  const DeviceArray<unsigned> result(1);
  constexpr int kMax = 227 * 1024;
  EXPECT_EQ(cudaFuncSetAttribute(large_shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 kMax + 1),
            cudaErrorInvalidValue);
  ASSERT_EQ(
      cudaFuncSetAttribute(large_shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMax),
      cudaSuccess);
  ASSERT_EQ(launch(large_shared_kernel, 1, 1, kMax, result.get(), unsigned{kMax / 4 - 1}),
            cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess) << fault();
  EXPECT_EQ(result.content()[0], 0xcdcdcdcdu);
  EXPECT_EQ(launch(empty_kernel, 1, 1, kMax), cudaErrorInvalidValue) << "another kernel's limit";
}

TEST_F(FaultTest, CooperativeLaunchesAreRefused) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  const cudaLaunchConfig_t config{1, 1, 0, stream_, &attribute, 1};
  EXPECT_EQ(cudaLaunchKernelEx(&config, empty_kernel), cudaErrorNotSupported);
}

TEST_F(FaultTest, DeadHandlesAreFound) {
  cudaStream_t dead = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&dead, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(dead), cudaSuccess);
  const cudaLaunchConfig_t config{1, 1, 0, dead, nullptr, 0};
  EXPECT_EQ(cudaLaunchKernelEx(&config, empty_kernel), cudaErrorInvalidResourceHandle);
  EXPECT_NE(fault().find("a launch: the handle is destroyed"), std::string::npos) << fault();
  EXPECT_EQ(cudaStreamSynchronize(dead), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(dead), cudaErrorInvalidResourceHandle);
}

TEST_F(FaultTest, WildFreesAndCopiesAreFound) {
  const DeviceArray<int> array(4);
  int host[8] = {};
  EXPECT_EQ(cudaFree(host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(array.get() + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(array.get()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, array.get(), 20, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(array.get(), host, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(array.get() + 3, 0, 5), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
  EXPECT_NE(fault(), "");
}

}  // namespace
}  // namespace simt::test
