// What device functions need besides their arguments: a device and scratch memory.
#pragma once

#include <cstddef>
#include <memory>

#include "cuqat/stream.hpp"

namespace cuqat {

/// A device and the scratch memory of the work on it. Contexts are independent of each other, and
/// there is no other state.
///
/// Its device must be the calling thread's current one in every function that takes the context.
/// A context serves one thread and one stream at a time: work of the same context on two streams
/// must be ordered by the caller (an event, say), as both use the scratch memory.
class DeviceContext {
 public:
  struct Options {
    /// Scratch memory, allocated once. Functions that need more say so instead of allocating.
    std::size_t workspace_bytes = std::size_t{8} << 20;
    /// Whether functions ask the CUDA runtime if each pointer is one that the device can use.
    /// Without it a host pointer ends in an illegal access.
    bool check_pointers = true;
    /// Multiprocessors that grids are made for; 0: all that the device has. Fewer leave room for
    /// work beside. Results do not depend on it.
    int num_multiprocessors = 0;
  };

  /// Of the calling thread's current device. Waits and allocates.
  /// @throws BackendUnavailable where there is no device or this build has no CUDA code;
  ///         InvalidArgument for less scratch memory than reductions take, or for a number of
  ///         multiprocessors below 0 or above 65 535;
  ///         CudaError where the memory cannot be had.
  DeviceContext() : DeviceContext(Options{}) {}
  explicit DeviceContext(const Options& options);
  /// Work that uses the scratch memory must have ended, and graphs of it are not launched again.
  /// Waits; never throws.
  ~DeviceContext();
  /// The other one can be destroyed or assigned to, and nothing else.
  DeviceContext(DeviceContext&&) noexcept;
  DeviceContext& operator=(DeviceContext&&) noexcept;

  [[nodiscard]] int device() const noexcept;
  [[nodiscard]] std::size_t workspace_bytes() const noexcept;

  struct State;
  /// For the library's own use.
  [[nodiscard]] const State& state() const noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace cuqat
