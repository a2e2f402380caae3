// The functions of the reference backend's table; detail::OperationTable says what they do.
#pragma once

#include "host/operation_table.hpp"

namespace cuqat::reference {

void quantize(const detail::ScaledTensor& tensor, const void* x, std::uint8_t* codes,
              CodeLayout layout);
void dequantize(const detail::ScaledTensor& tensor, const std::uint8_t* codes, CodeLayout layout,
                void* y);
void fake_quantize(const detail::ScaledTensor& tensor, const void* x, void* y,
                   std::uint8_t* clip_mask);
void fake_quantize_backward(const detail::ScaledTensor& tensor, const void* dy, const void* x,
                            void* dx);
void fake_quantize_backward_from_mask(DType dtype, std::int64_t count, const void* dy,
                                      const std::uint8_t* clip_mask, void* dx, int num_threads);
void learned_scale_backward(const detail::ScaledTensor& tensor, const void* dy, const void* x,
                            void* dx, const double* gradient_scale, double* dscale,
                            double* dzero_point);
void statistics(const detail::ScaledTensor& tensor, const void* x, Statistics* result);
void quantization_error(const detail::ScaledTensor& tensor, const void* x, const double* amax,
                        QuantizationError* result);
void accumulate_key_histogram(DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
                              int num_threads);
void accumulate_linear_histogram(DType dtype, std::int64_t count, const void* x, double amax,
                                 BinRange range, std::span<std::uint64_t> counts, int num_threads);
void order_statistics(std::span<const ConstTensorView> batches, OrderBy order,
                      std::span<const std::int64_t> ranks, double* result, int num_threads);
void quantize_transposed(const detail::ScaledTensor& tensor, const void* x, std::uint8_t* codes,
                         std::uint8_t* codes_transposed);
void scale_elements(const detail::ScaledTensor& tensor, const void* x, void* y, bool divides);
void product_error(const detail::ProductError& products, double* error, double* signal);
void int8_gemm(const detail::Int8Product& product, std::int32_t* result);
void int8_linear(const detail::Int8Linear& linear, void* y);
void int8_linear_codes(const detail::Int8Linear& linear, const detail::ScaledTensor& y,
                       std::uint8_t* codes);
void fp8_linear(const detail::Fp8Linear& linear, void* y);
void gemm(const detail::RealProduct& product, void* y);

}  // namespace cuqat::reference
