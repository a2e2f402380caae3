// The devices that the runtime functions act on, and what every one of them does first and last.
#pragma once

#include <cuda_runtime.h>

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "arena.hpp"
#include "executor.hpp"
#include "sanitizers.hpp"

/// Recorded work. It is told which stream runs it, for a graph may be launched on any.
using StreamWork = std::function<void(CUstream_st& stream)>;

namespace simt {

/// What a capture recorded, shared by the graph and its executables.
struct GraphWork {
  ~GraphWork();
  std::vector<StreamWork> steps;
  std::vector<void*> memory;  // allocated inside the capture
};

}  // namespace simt

// Handles stay after their destruction, so that a later use is found and never takes the handle of
// somebody else.
struct CUstream_st {
  unsigned flags = 0;
  int device = 0;
  bool is_default = false;  // cudaStreamLegacy, or the cudaStreamPerThread of `thread`
  std::thread::id thread;
  bool destroyed = false;
  simt::Context context = simt::new_context();
  std::shared_ptr<simt::GraphWork> capture;  // null outside a capture
  bool capture_invalidated = false;
  cudaStreamCaptureMode capture_mode{};
  std::thread::id capture_thread;
};
struct CUevent_st {
  unsigned flags = 0;
  bool destroyed = false;
  bool recorded = false;
  std::shared_ptr<simt::GraphWork> capture;  // in which it was recorded last, if in one
  std::unique_ptr<simt::Clock> clock = std::make_unique<simt::Clock>();
  std::chrono::steady_clock::time_point time;
};

struct CUgraph_st {
  bool destroyed = false;
  std::shared_ptr<simt::GraphWork> work;
};
struct CUgraphExec_st {
  bool destroyed = false;
  std::shared_ptr<simt::GraphWork> work;
};

namespace simt {

/// All that they have of their own is streams and memory: the rest is one state.
inline constexpr int kNumDevices = 2;
extern thread_local int current_device;
extern thread_local cudaError_t last_error;

struct Allocation {
  std::size_t bytes;
  cudaMemoryType type;
  int device = current_device;
  bool in_graph = false;  // belongs to a GraphWork
};

struct Device {
  Device() { legacy_stream.is_default = true; }

  // One call at a time, so host threads may have a context each. A kernel runs inside its call.
  std::recursive_mutex mutex;

  Order order;
  std::string fault;
  bool broken = false;  // a kernel went wrong
  Counters counters;
  int calls_until_failure = 0;
  pid_t process = getpid();
  cudaError_t device_error = cudaSuccess;
  cudaError_t kernel_error = cudaSuccess;
  std::uint64_t num_kernels = 0;
  int num_multiprocessors = 4;
  int compute_capability = 90;
  std::size_t cublaslt_version = 130000;
  std::size_t products = 0;  // of cuBLASLt: handles, descriptors, layouts and preferences alive
  std::size_t max_shared_bytes = kMaxSharedBytes;

  std::map<std::uintptr_t, Allocation> allocations;  // by address
  std::map<const void*, std::size_t> shared_limits;  // by kernel, where it was raised
  CUstream_st legacy_stream;
  Clock destroyed_streams;  // what they did
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::vector<std::unique_ptr<CUgraph_st>> graphs;
  std::vector<std::unique_ptr<CUgraphExec_st>> graph_execs;
};

/// Never destroyed: a context in a static may call until the process ends.
Device& device();

/// Notes a misuse of the runtime, for simt::fault().
void note_fault(const std::string& what);

/// The handle if it is alive, or null after noting the fault.
template <class Handle>
Handle* find_handle(const std::vector<std::unique_ptr<Handle>>& handles, Handle* handle,
                    const char* caller) {
  for (const auto& other : handles) {
    if (other.get() == handle && !handle->destroyed) return handle;
  }
  note_fault(std::string(caller) + ": the handle is destroyed or never existed");
  return nullptr;
}
/// A null handle is the legacy stream. A thread's own default stream is made when it is first used.
CUstream_st* find_stream(cudaStream_t stream, const char* caller);
CUevent_st* find_event(cudaEvent_t event, const char* caller);

/// Does the work on the stream, or records it if the stream is capturing.
cudaError_t enqueue(CUstream_st& stream, StreamWork work);
/// The current context waits for the stream.
void wait_for(CUstream_st& stream);
void wait_for_all_streams(Context waiter);
/// What a capture forbids. Breaks the captures that are under way.
cudaError_t refuse_if_capturing();

/// True if the bytes lie in one allocation of device memory, or are none.
bool are_on_device(const void* data, std::size_t bytes);

template <class Body>
cudaError_t guarded(Device& d, Body body) noexcept {
  cudaError_t error = cudaErrorUnknown;
  try {
    // The child of a fork has nothing of the device.
    error = getpid() == d.process ? body(d) : cudaErrorInitializationError;
  } catch (const std::bad_alloc&) {
    error = cudaErrorMemoryAllocation;
  } catch (...) {
  }
  if (error != cudaSuccess) last_error = error;
  return error;
}

/// A call that looks something up: works on a broken device, is never made to fail.
template <class Body>
cudaError_t query(Body body) noexcept {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  return guarded(d, body);
}

/// A call that does something; `planned` is its error where a test asked for one.
template <class Body>
cudaError_t call(cudaError_t planned, Body body) noexcept {
  return query([&](Device& d) {
    if (d.broken) return cudaErrorLaunchFailure;
    if (d.calls_until_failure > 0 && --d.calls_until_failure == 0) return planned;
    return body(d);
  });
}

/// A call that gives something back: does so even on a broken device, whose error it returns.
template <class Body>
cudaError_t release(Body body) noexcept {
  return query([&](Device& d) {
    const cudaError_t error = body(d);
    return d.broken ? cudaErrorLaunchFailure : error;
  });
}

}  // namespace simt
