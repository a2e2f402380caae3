// Fake quantize of many small tensors at once, as the weights of a model are before each step: one
// launch for all of them, where each alone is too small to fill a device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// One tensor of a batch.
struct FakeQuantizeItem {
  ConstDeviceTensorView x;
  DeviceQuantParams params;
  DeviceTensorView y;
  DeviceSpan<std::uint8_t> clip_mask;  ///< None, or exactly clip_mask_bytes(x.count()).
};

/// A list of tensors, kept in device memory. It refers to the tensors, scales and masks, which must
/// outlive it; their contents are read when the work runs.
class FakeQuantizeBatch {
 public:
  /// Shape:  any number of items, each as fake_quantize takes it; all of one dtype and quantizer.
  ///         An output may not overlap anything that another item reads or writes.
  /// Order:  allocates, and waits for that but for no stream.
  /// @throws InvalidArgument as fake_quantize, the argument named with its index, for items of
  ///         several dtypes or quantizers and for overlaps; CudaError where the memory cannot be
  ///         had.
  FakeQuantizeBatch(std::span<const FakeQuantizeItem> items, const DeviceContext& context);
  /// Work of the batch must have ended, and graphs of it are not launched again. Waits; never
  /// throws.
  ~FakeQuantizeBatch();
  /// The other one can be destroyed or assigned to, and nothing else.
  FakeQuantizeBatch(FakeQuantizeBatch&&) noexcept;
  FakeQuantizeBatch& operator=(FakeQuantizeBatch&&) noexcept;

  /// y = dequantize(quantize(x)) and the clip mask of every item.
  /// Values: as fake_quantize.
  /// Order:  on the stream, in one launch; it does not wait or allocate, and can be captured in a
  ///         CUDA graph, which must not outlive the batch. Any context of the batch's device.
  /// Agrees: bit for bit with every backend.
  /// @throws InvalidArgument for a context of another device; CudaError where the launch fails.
  void run(const DeviceContext& context, StreamRef stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuqat
