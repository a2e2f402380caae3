// What --backend cuda does on the GPU: it counts bf16 and f16 tensors. The CPU does everything
// else.
#pragma once

#include <fmt/format.h>

#include "cuqat/calibration.hpp"
#include "cuqat/device_streamer.hpp"
#include "cuqat/error.hpp"

namespace cuqat::cli {

class CudaCollector {
 public:
  explicit CudaCollector(const HostOptions& host)
      : streamer_(context_, {.num_threads = num_threads(host)}) {}

  /// The same bytes as a collector of the host that observed the batch.
  [[nodiscard]] CalibrationCollector collect(ConstTensorView batch) {
    return streamer_.collect(batch);
  }

 private:
  DeviceContext context_{{.workspace_bytes = 0}};
  DeviceStreamer streamer_;
};

/// Makes what needs the device, with the backend's name where there is none.
template <typename Make>
void with_cuda_named(const Make& make) {
  try {
    make();
  } catch (const BackendUnavailable& error) {
    throw BackendUnavailable(fmt::format("backend \"cuda\" is not available: {}", error.what()));
  }
}

}  // namespace cuqat::cli
