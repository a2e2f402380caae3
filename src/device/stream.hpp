// Streams and events that the library itself owns.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

#include "check.hpp"

namespace cuqat::detail {

/// For work that copies from or to memory of the host.
inline void wait_for(cudaStream_t stream,
                     std::source_location operation = std::source_location::current()) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  // A wait that was not made leaves the copies on their way, and the memory may end with the error.
  if (status != cudaSuccess) static_cast<void>(cudaStreamSynchronize(stream));
  gpu::check(status, "cudaStreamSynchronize", operation);
}

/// Neither waits for the default stream nor makes it wait.
class OwnStream {
 public:
  explicit OwnStream(std::source_location operation = std::source_location::current()) {
    gpu::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags", operation);
  }
  /// Does not wait for its work.
  ~OwnStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }
  void wait(std::source_location operation = std::source_location::current()) const {
    wait_for(stream_, operation);
  }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Stands for what a stream had been given when it was recorded; before, for nothing.
class OwnEvent {
 public:
  OwnEvent() {
    gpu::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming),
               "cudaEventCreateWithFlags");
  }
  ~OwnEvent() { static_cast<void>(cudaEventDestroy(event_)); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;

  void record(const OwnStream& stream) const {
    gpu::check(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  }
  /// What the stream is given from now on comes after.
  void hold_up(const OwnStream& stream) const {
    gpu::check(cudaStreamWaitEvent(stream.get(), event_, 0), "cudaStreamWaitEvent");
  }
  void wait() const { gpu::check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace cuqat::detail
