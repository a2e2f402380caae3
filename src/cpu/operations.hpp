// The operations of detail::OperationTable over the kernels of any one instruction set.
#pragma once

#include "cpu/kernels.hpp"
#include "host/operation_table.hpp"

namespace cuqat::cpu {

void quantize(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
              std::uint8_t* codes, CodeLayout layout);
void dequantize(const Kernels& kernels, const detail::ScaledTensor& tensor,
                const std::uint8_t* codes, CodeLayout layout, void* y);
void fake_quantize(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                   void* y, std::uint8_t* clip_mask);
void fake_quantize_backward(const Kernels& kernels, const detail::ScaledTensor& tensor,
                            const void* dy, const void* x, void* dx);
void fake_quantize_backward_from_mask(const Kernels& kernels, DType dtype, std::int64_t count,
                                      const void* dy, const std::uint8_t* clip_mask, void* dx,
                                      int num_threads);
void learned_scale_backward(const Kernels& kernels, const detail::ScaledTensor& tensor,
                            const void* dy, const void* x, void* dx, const double* gradient_scale,
                            double* dscale, double* dzero_point);
void statistics(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                Statistics* result);
void quantization_error(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                        const double* amax, QuantizationError* result);
void accumulate_key_histogram(const Kernels& kernels, DType dtype, std::int64_t count,
                              const void* x, std::uint64_t* counts, int num_threads);
void accumulate_linear_histogram(const Kernels& kernels, DType dtype, std::int64_t count,
                                 const void* x, double amax, BinRange range,
                                 std::span<std::uint64_t> counts, int num_threads);
void order_statistics(const Kernels& kernels, std::span<const ConstTensorView> batches,
                      OrderBy order, std::span<const std::int64_t> ranks, double* result,
                      int num_threads);
void quantize_transposed(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                         std::uint8_t* codes, std::uint8_t* codes_transposed);
void scale_elements(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                    void* y, bool divides);
void product_error(const Kernels& kernels, const detail::ProductError& products, double* error,
                   double* signal);
void int8_gemm(const Kernels& kernels, const detail::Int8Product& product, std::int32_t* result);
void int8_linear(const Kernels& kernels, const detail::Int8Linear& linear, void* y);
void int8_linear_codes(const Kernels& kernels, const detail::Int8Linear& linear,
                       const detail::ScaledTensor& y, std::uint8_t* codes);
void fp8_linear(const Kernels& kernels, const detail::Fp8Linear& linear, void* y);
void gemm(const Kernels& kernels, const detail::RealProduct& product, void* y);

}  // namespace cuqat::cpu
