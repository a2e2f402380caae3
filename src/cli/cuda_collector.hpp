// What --backend cuda does on the GPU: it counts bf16 and f16 tensors.
#pragma once

#include "cuqat/calibration.hpp"
#include "cuqat/device_streamer.hpp"

namespace cuqat::cli {

class CudaCollector {
 public:
  /// Everything else is for the CPU.
  [[nodiscard]] static bool takes(DType dtype, const Granularity& granularity) {
    return (dtype == DType::kBF16 || dtype == DType::kF16) &&
           granularity.kind == Granularity::Kind::kTensor;
  }

  /// The same bytes as a collector of the host that observed the batch.
  [[nodiscard]] CalibrationCollector collect(ConstTensorView batch) {
    return streamer_.collect(batch);
  }

 private:
  DeviceContext context_{{.workspace_bytes = 0}};
  DeviceStreamer streamer_{context_};
};

}  // namespace cuqat::cli
