// The runtime calls: streams, events, capture and graphs, memory, counters, calls made to fail.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "simt/test_support.hpp"

namespace simt::test {
namespace {

__global__ void add_kernel(unsigned* x, unsigned value) { atomicAdd(&x[blockIdx.x], value); }

class RuntimeTest : public ExecutorTest {
 protected:
  void begin_capture(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  /// The stream's capture is broken; ends it.
  void expect_broken_capture() {
    cudaStreamCaptureStatus status{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(launch(add_kernel, 1, 1, 0, nullptr, 1u), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
  }
};

TEST_F(RuntimeTest, AGraphRunsWhatWasCapturedWithItsArguments) {
  const DeviceArray<unsigned> x(2);
  begin_capture();
  cudaStreamCaptureStatus status{};
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  unsigned value = 5;
  EXPECT_EQ(cudaMemsetAsync(x.get(), 0, 8, stream_), cudaSuccess);
  EXPECT_EQ(launch(add_kernel, 2, 3, 0, x.get(), value), cudaSuccess);
  value = 100;
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(x.content(), (std::vector<unsigned>{0, 0})) << "captured, not run";
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess);
  EXPECT_EQ(x.content(), (std::vector<unsigned>{15, 15}));
  EXPECT_EQ(counters().launches, 1);
  EXPECT_EQ(counters().graph_launches, 3);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaErrorInvalidValue);
}

TEST_F(RuntimeTest, AGraphOwnsTheMemoryAllocatedInItsCapture) {
  unsigned result = 0;
  begin_capture();
  unsigned* memory = nullptr;
  ASSERT_EQ(cudaMallocAsync(&memory, 4, stream_), cudaSuccess);
  ASSERT_EQ(launch(add_kernel, 1, 1, 0, memory, 1u), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(&result, memory, 4, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(memory, stream_), cudaSuccess);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    ASSERT_EQ(wait(), cudaSuccess);
    EXPECT_EQ(result, 0xcdcdcdceu) << "without content at each launch";
  }
  EXPECT_EQ(leaked_allocations(), 1u);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(leaked_allocations(), 0u);
}

TEST_F(RuntimeTest, WaitingBreaksACapture) {
  begin_capture();
  EXPECT_EQ(wait(), cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
  begin_capture(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(wait(), cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
  begin_capture();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
}

TEST_F(RuntimeTest, AnEventRecordedInACaptureCannotBeWaitedFor) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  begin_capture();
  ASSERT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorCapturedEvent);
  expect_broken_capture();
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(RuntimeTest, AnEventOfBeforeBreaksACapture) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  begin_capture();
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event), cudaErrorStreamCaptureIsolation);
  expect_broken_capture();
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(RuntimeTest, AllocatingBreaksACapture) {
  const DeviceArray<int> array(1);
  void* memory = nullptr;
  int host = 0;
  begin_capture();
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
  begin_capture();
  EXPECT_EQ(cudaFree(array.get()), cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
  begin_capture();
  EXPECT_EQ(cudaMemcpy(&host, array.get(), 4, cudaMemcpyDeviceToHost),
            cudaErrorStreamCaptureUnsupported);
  expect_broken_capture();
  begin_capture(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(RuntimeTest, CapturesBeginAndEndOnce) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
  begin_capture();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(RuntimeTest, EventsOrderStreamsAndTellTime) {
  const DeviceArray<unsigned> x(1);
  cudaEvent_t start = nullptr, end = nullptr;
  cudaStream_t other = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&end, cudaEventDefault), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaEventRecord(start, stream_), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(x.get(), 0, 4, stream_), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(end, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other, end), cudaSuccess);
  unsigned result = 1;
  ASSERT_EQ(cudaMemcpyAsync(&result, x.get(), 4, cudaMemcpyDefault, other), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(end, other), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(end), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(result, 0u);
  ASSERT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  for (cudaEvent_t event : {start, end}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, stream_), cudaErrorInvalidResourceHandle);
}

TEST_F(RuntimeTest, PointersTellTheirMemory) {
  const DeviceArray<int> array(4);
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
  int plain = 0;
  const auto type = [](const void* pointer) {
    cudaPointerAttributes attributes{};
    EXPECT_EQ(cudaPointerGetAttributes(&attributes, pointer), cudaSuccess);
    return attributes.type;
  };
  EXPECT_EQ(type(array.get()), cudaMemoryTypeDevice);
  EXPECT_EQ(type(array.get() + 3), cudaMemoryTypeDevice);
  EXPECT_EQ(type(pinned), cudaMemoryTypeHost);
  EXPECT_EQ(type(&plain), cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(type(pinned), cudaMemoryTypeUnregistered);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(array.get()) % 256, 0u);
  void* nothing = &plain;
  EXPECT_EQ(cudaMalloc(&nothing, 0), cudaSuccess);
  EXPECT_EQ(nothing, nullptr);
  EXPECT_EQ(cudaFree(nothing), cudaSuccess);
}

TEST_F(RuntimeTest, TheDeviceTellsWhatItIs) {
  const auto attribute = [](cudaDeviceAttr which) {
    int value = -1;
    EXPECT_EQ(cudaDeviceGetAttribute(&value, which, 0), cudaSuccess);
    return value;
  };
  EXPECT_EQ(attribute(cudaDevAttrMultiProcessorCount), 4);
  set_multiprocessor_count(132);
  EXPECT_EQ(attribute(cudaDevAttrMultiProcessorCount), 132);
  set_multiprocessor_count(4);
  EXPECT_EQ(attribute(cudaDevAttrComputeCapabilityMajor), 9);
  EXPECT_EQ(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin), 227 * 1024);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&value, add_kernel, 256, 0), cudaSuccess);
  EXPECT_EQ(value, 2);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
}

TEST_F(RuntimeTest, DevicesHaveStreamsAndMemoryOfTheirOwn) {
  int value = 0;
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaSuccess);
  EXPECT_EQ(value, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  std::thread([&] { EXPECT_EQ(cudaGetDevice(&value), cudaSuccess); }).join();
  EXPECT_EQ(value, 0) << "each thread has a current device";
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
  EXPECT_EQ(launch(add_kernel, 1, 32, 0, static_cast<unsigned*>(memory), 1u),
            cudaErrorInvalidResourceHandle);
  EXPECT_NE(fault().find("the stream is on device 0, and the current one is 1"), std::string::npos);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  cudaPointerAttributes attributes{};
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, memory), cudaSuccess);
  EXPECT_EQ(attributes.device, 1);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(RuntimeTest, DefaultStreamsHaveHandles) {
  const std::size_t handles = leaked_handles();
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(cudaStreamLegacy, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamBeginCapture(cudaStreamPerThread, cudaStreamCaptureModeGlobal), cudaSuccess);
  // Another thread's is another stream, which does not capture.
  cudaStreamCaptureStatus status{};
  std::thread([&] {
    EXPECT_EQ(cudaStreamIsCapturing(cudaStreamPerThread, &status), cudaSuccess);
  }).join();
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  EXPECT_EQ(cudaStreamEndCapture(cudaStreamPerThread, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (const cudaStream_t stream : {cudaStreamLegacy, cudaStreamPerThread}) {
    EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  }
  EXPECT_EQ(leaked_handles(), handles);
}

TEST_F(RuntimeTest, TheChildOfAForkHasNothingOfTheDevice) {
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
  const pid_t child = fork();
  if (child == 0) _exit(cudaFree(memory) == cudaErrorInitializationError ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(RuntimeTest, DevicesAndKernelsCanBeMadeToFail) {
  int value = -1;
  set_device_error(cudaErrorNoDevice);
  EXPECT_EQ(cudaGetDevice(&value), cudaErrorNoDevice);
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorNoDevice);
  EXPECT_EQ(value, 0);
  cudaFuncAttributes attributes{};
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, add_kernel), cudaSuccess);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
  set_kernel_error(cudaErrorNoKernelImageForDevice);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, add_kernel), cudaErrorNoKernelImageForDevice);
  reset();
  EXPECT_EQ(cudaGetDevice(&value), cudaSuccess);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, add_kernel), cudaSuccess);
}

TEST_F(RuntimeTest, CallsAreCounted) {
  unsigned host = 0;
  void* memory = nullptr;
  reset_counters();
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  EXPECT_EQ(cudaMemset(memory, 0, 4), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(&host, memory, 4, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&memory, 4, stream_), cudaSuccess);
  EXPECT_EQ(leaked_allocations(), 1u);
  EXPECT_EQ(cudaMemsetAsync(memory, 0, 4, stream_), cudaSuccess);
  EXPECT_EQ(launch(add_kernel, 1, 1, 0, static_cast<unsigned*>(memory), 1u), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(memory, stream_), cudaSuccess);
  EXPECT_EQ(wait(), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const Counters c = counters();
  const std::array counted{c.launches, c.graph_launches, c.allocations, c.async_allocations,
                           c.frees,    c.async_frees,    c.copies,      c.memsets,
                           c.waits};
  EXPECT_EQ(counted, (std::array{1, 0, 1, 1, 1, 1, 1, 2, 3}));
}

TEST_F(RuntimeTest, HostThreadsMayWorkSideBySide) {
  const auto work = [](unsigned value, unsigned* result) {
    cudaStream_t stream = nullptr;
    unsigned* x = nullptr;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaMallocAsync(&x, sizeof *x, stream);
    cudaMemsetAsync(x, 0, sizeof *x, stream);
    const cudaLaunchConfig_t config{1, 64, 0, stream, nullptr, 0};
    for (int i = 0; i < 20; ++i) cudaLaunchKernelEx(&config, add_kernel, x, value);
    cudaMemcpyAsync(result, x, sizeof *x, cudaMemcpyDeviceToHost, stream);
    cudaFreeAsync(x, stream);
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  };
  unsigned first = 0, second = 0;
  {
    const std::jthread other(work, 1u, &first);
    work(2u, &second);
  }
  EXPECT_EQ(first, 1280u);
  EXPECT_EQ(second, 2560u);
}

TEST_F(RuntimeTest, EachCallCanBeMadeToFail) {
  // As a test of the product does it: N = 1, 2, ... until the failure is not reached.
  cudaEvent_t event = nullptr;
  unsigned* memory = nullptr;
  unsigned host = 0;
  const auto work = [&] {
    cudaError_t error = cudaEventCreate(&event);
    if (error == cudaSuccess) error = cudaMallocAsync(&memory, 4, stream_);
    if (error == cudaSuccess) error = cudaMemsetAsync(memory, 0, 4, stream_);
    if (error == cudaSuccess) error = launch(add_kernel, 1, 1, 0, memory, 3u);
    if (error == cudaSuccess) {
      error = cudaMemcpyAsync(&host, memory, 4, cudaMemcpyDefault, stream_);
    }
    if (error == cudaSuccess) error = wait();
    return error;
  };
  const cudaError_t expected[] = {cudaErrorMemoryAllocation,
                                  cudaErrorMemoryAllocation,
                                  cudaErrorInvalidValue,
                                  cudaErrorLaunchOutOfResources,
                                  cudaErrorInvalidValue,
                                  cudaErrorInvalidResourceHandle,
                                  cudaSuccess};
  int n = 0;
  for (const cudaError_t error : expected) {
    event = nullptr, memory = nullptr, host = 0;
    fail_call(++n);
    EXPECT_EQ(work(), error) << n;
    EXPECT_EQ(failure_pending(), error == cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), error);
    EXPECT_EQ(cudaFreeAsync(memory, stream_), cudaSuccess);
    if (event != nullptr) {
      EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    }
    EXPECT_EQ(leaked_allocations(), 0u);
    fail_call(0);
    EXPECT_EQ(wait(), cudaSuccess);
    EXPECT_EQ(host, n >= 6 ? 3u : 0u);
  }
}

}  // namespace
}  // namespace simt::test
