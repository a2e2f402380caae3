// The table of this instruction set's kernels.
#include "cpu/kernels/entry_points.hpp"

namespace cuqat::cpu::CUQAT_ISA {

const Kernels& kernels() noexcept {
  static constexpr Kernels kKernels{
      .quantize = quantize,
      .dequantize = dequantize,
      .pack_nibbles = pack_nibbles,
      .unpack_nibbles = unpack_nibbles,
      .fake_quantize = fake_quantize,
      .backward = backward,
      .backward_from_mask = backward_from_mask,
      .learned_scale = learned_scale,
      .learned_scale_columns = learned_scale_columns,
      .sum_chunk = sum_chunk,
      .statistics = statistics,
      .statistics_columns = statistics_columns,
      .quantization_error = quantization_error,
      .quantization_error_columns = quantization_error_columns,
      .count_keys = count_keys,
      .linear_bins = linear_bins,
      .count_matching = count_matching,
      .scale_elements = scale_elements,
      .product_tile = product_tile,
      .int8_dot = int8_dot,
      .int8_sum = int8_sum,
      .int8_outputs = int8_outputs,
      .stream = stream,
      .stream_fence = stream_fence,
  };
  return kKernels;
}

}  // namespace cuqat::cpu::CUQAT_ISA
