// The kernels of one instruction set, in its namespace. kernels.hpp says what each does.
#pragma once

#include "cpu/kernels.hpp"

namespace cuqat::cpu::CUQAT_ISA {

void quantize(const TileQuantizer& quantizer, const TileScale& scale, const void* x,
              std::uint8_t* codes, std::int64_t n);
void dequantize(const TileQuantizer& quantizer, const TileScale& scale, const std::uint8_t* codes,
                void* y, std::int64_t n);
void pack_nibbles(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t n);
void unpack_nibbles(const std::uint8_t* packed, std::uint8_t* codes, std::int64_t n);

void fake_quantize(const TileQuantizer& quantizer, const TileScale& scale, const void* x, void* y,
                   std::uint8_t* clip_mask, std::int64_t n);
void backward(const TileQuantizer& quantizer, const TileScale& scale, const void* dy, const void* x,
              void* dx, std::int64_t n);
void backward_from_mask(std::size_t element_bytes, const void* dy, const std::uint8_t* clip_mask,
                        void* dx, std::int64_t n);

void learned_scale(const TileQuantizer& quantizer, const TileScale& scale, const void* dy,
                   const void* x, void* dx, std::int64_t n, double* dscale, double* dzero_point);
void learned_scale_columns(const TileQuantizer& quantizer, const TileScale& scale, const void* dy,
                           const void* x, void* dx, std::int64_t rows, std::int64_t columns,
                           std::int64_t stride, double* dscale, double* dzero_point);
double sum_chunk(const double* terms, std::int64_t n);

PartialStatistics statistics(DType dtype, const void* x, std::int64_t n);
void statistics_columns(DType dtype, const void* x, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride, const ColumnStatistics& result);
PartialError quantization_error(const TileQuantizer& quantizer, const TileScale& scale,
                                const ErrorUnits& units, const void* x, std::int64_t n);
void quantization_error_columns(const TileQuantizer& quantizer, const TileScale& scale,
                                const void* x, std::int64_t rows, std::int64_t columns,
                                std::int64_t stride, const ColumnErrors& result);

void count_keys(std::size_t element_bytes, const void* x, std::int64_t n, std::uint32_t* counters);
void linear_bins(DType dtype, const LinearBins& layout, const void* x, std::int64_t n,
                 std::int32_t* bins);
void count_matching(std::size_t element_bytes, const PrefixMatch& match, const void* x,
                    std::int64_t n, std::uint64_t* counts);

void scale_elements(DType dtype, const TileScale& scale, const void* x, void* y, std::int64_t n,
                    bool divides);
void product_tile(DType dtype, const ProductTile& tile, void* y);
std::int32_t int8_dot(const std::int8_t* x, const std::int8_t* w, std::int64_t n);
std::int64_t int8_sum(const std::int8_t* codes, std::int64_t n);
void int8_outputs(DType dtype, const Int8Outputs& outputs, void* y);

void stream(void* to, const void* from, std::size_t bytes);
void stream_fence();

}  // namespace cuqat::cpu::CUQAT_ISA
