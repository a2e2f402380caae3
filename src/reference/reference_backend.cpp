#include "reference/reference_backend.hpp"

#include "reference/operations.hpp"

namespace cuqat::reference {

const detail::OperationTable& operations() noexcept {
  static constexpr detail::OperationTable kTable{"reference",
                                                 "baseline",
                                                 quantize,
                                                 dequantize,
                                                 fake_quantize,
                                                 fake_quantize_backward,
                                                 fake_quantize_backward_from_mask,
                                                 learned_scale_backward,
                                                 statistics,
                                                 quantization_error,
                                                 accumulate_key_histogram,
                                                 accumulate_linear_histogram,
                                                 order_statistics,
                                                 quantize_transposed,
                                                 scale_elements,
                                                 product_error,
                                                 int8_gemm,
                                                 int8_linear,
                                                 int8_linear_codes,
                                                 fp8_linear,
                                                 gemm};
  return kTable;
}

}  // namespace cuqat::reference
