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
///
/// "Does not wait or allocate" is said of cuqat. The CUDA runtime may load a kernel at its first
/// launch, which may do both: set CUDA_MODULE_LOADING=EAGER where the first launch matters too.
class DeviceContext {
 public:
  struct Options {
    /// Scratch memory, allocated once, for learned_scale_backward, dynamic quantization of tensors
    /// and channels, percentiles, calibrate_scales, products and output_error:
    /// learned_scale_workspace_bytes, dynamic_workspace_bytes, percentile_workspace_bytes,
    /// sorted_percentile_workspace_bytes, calibration_workspace_bytes, product_workspace_bytes and
    /// output_error_workspace_bytes say how much they take.
    /// Functions that need more throw instead of allocating. What a grid of blocks needs to reduce
    /// is allocated besides (59 KB for 132 multiprocessors).
    std::size_t workspace_bytes = std::size_t{8} << 20;
    /// Whether functions ask the CUDA runtime if each pointer is one that the device can use.
    /// Without it a host pointer ends in an illegal access.
    bool check_pointers = true;
    /// Multiprocessors that grids are made for; 0: all that the device has. Fewer leave room for
    /// work beside. Results do not depend on it.
    int num_multiprocessors = 0;
    /// Memory for cuBLASLt, allocated by the first product of a context. With less it finds fewer
    /// ways to make one.
    std::size_t gemm_workspace_bytes = std::size_t{32} << 20;
    /// Whether the first integer product of each shape tries several ways to make it, for which it
    /// waits. Not while its stream is captured: the first that cuBLASLt names is then kept.
    bool tunes_products = true;
  };

  /// Of the calling thread's current device. Allocates, and waits for that but for no stream.
  /// @throws BackendUnavailable where there is no device, or this build has no code for it or none
  ///         for CUDA at all;
  ///         InvalidArgument for a number of multiprocessors below 0 or above 65 535;
  ///         CudaError where the memory cannot be had or the device fails.
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
