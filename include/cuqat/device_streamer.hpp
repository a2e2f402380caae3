// Tensors in host memory, counted on a device.
#pragma once

#include <cstddef>
#include <memory>

#include "cuqat/calibration.hpp"
#include "cuqat/device_context.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Counts what lies in host memory, a mapped file say, on the device: while the device counts one
/// part, the next is on its way there and the host reads the one after. Two buffers of pinned host
/// memory and two of device memory, and streams of its own.
class DeviceStreamer {
 public:
  struct Options {
    /// Of each of the four buffers.
    std::size_t buffer_bytes = std::size_t{16} << 20;
    /// Threads that fill them, of which each takes a MiB or more: one alone does not keep up with
    /// the bus. At most kMaxThreads; 0: as many as the machine has.
    int num_threads = 0;
  };

  /// On the context's device, which must be the current one in every call. The context must outlive
  /// the streamer, and its scratch memory is not used.
  /// Order:  allocates, and waits for that but for no stream.
  /// @throws InvalidArgument for buffers of less than 2 bytes, a number of threads that HostOptions
  ///         would not take; CudaError where the memory cannot be had.
  explicit DeviceStreamer(const DeviceContext& context) : DeviceStreamer(context, Options{}) {}
  DeviceStreamer(const DeviceContext& context, const Options& options);
  /// Waits for its own work; never throws.
  ~DeviceStreamer();
  /// The other one can be destroyed or assigned to, and nothing else.
  DeviceStreamer(DeviceStreamer&&) noexcept;
  DeviceStreamer& operator=(DeviceStreamer&&) noexcept;

  /// The distribution of the batch: a collector as if CalibrationCollector::observe had seen it.
  /// Shape:  bf16 or f16, any shape, in host memory.
  /// Order:  waits until all is counted.
  /// Agrees: bit for bit with the host, for every size of the buffers and number of threads.
  /// @throws InvalidArgument for f32 and f64, where another device is current; CudaError where a
  ///         call fails.
  [[nodiscard]] CalibrationCollector collect(ConstTensorView batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuqat
