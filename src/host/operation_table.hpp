// What a backend is: a table of functions over checked arguments. The public functions check, then
// call the table; a backend may rely on everything that their headers demand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuqat/fake_quant.hpp"
#include "cuqat/format.hpp"
#include "cuqat/gemm.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::detail {

/// How a tensor's elements map to scales, and the scales in the compute type C of its dtype.
struct ScaledTensor {
  DType dtype = DType::kF32;
  Shape shape;
  Granularity granularity;  ///< kChannel: the axis is in [0, rank).
  Quantizer quantizer;
  const void* scale = nullptr;               ///< f64 for f64 tensors, else f32; num_scales of them.
  const std::int32_t* zero_point = nullptr;  ///< num_scales of them, never null; all 0 for FP8.
  std::int64_t num_scales = 1;
  int num_threads = 1;  ///< At least 1.
};

/// Two products that are compared.
struct ProductError {
  const double* x;
  const double* xq;
  const double* w_transposed;
  const double* wq_transposed;
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
  int num_threads;
};

/// A product of int8 codes; k is at most kMaxInt32Depth in int8_gemm, any in int8_linear.
struct Int8Product {
  const std::int8_t* x;
  const std::int8_t* w;
  GemmShape shape;
  int num_threads;
};

/// The scales of an operand: one, or one for each of its rows.
struct RowScales {
  const void* scale;               ///< In the compute type of y.
  const std::int32_t* zero_point;  ///< As many, never null.
  bool one_for_each_row;
};

struct Int8Linear {
  Int8Product product;
  RowScales x;
  RowScales w;
  const void* bias;  ///< In the compute type of y, or null.
  DType dtype;       ///< Of y.
};

/// Codes of FP8 formats, a byte each.
struct Fp8Linear {
  const std::uint8_t* x;
  Format x_format;
  const std::uint8_t* w;
  Format w_format;
  GemmShape shape;
  RowScales x_scales;  ///< Their zero points are 0.
  RowScales w_scales;
  const void* bias;  ///< f32, or null.
  DType dtype;       ///< Of y: not f64.
  int num_threads;
};

/// y = op(a) op(b).
struct RealProduct {
  const void* a;
  bool a_transposed;
  const void* b;
  bool b_transposed;
  GemmShape shape;
  DType dtype;       ///< Of a and b.
  DType y_dtype;     ///< f64 with f64 alone.
  const void* bias;  ///< What the sums of each column begin with, in the compute type; null: +0.
  int num_threads;
};

struct OperationTable {
  const char* name;
  const char* instruction_set;

  void (*quantize)(const ScaledTensor&, const void* x, std::uint8_t* codes, CodeLayout);
  void (*dequantize)(const ScaledTensor&, const std::uint8_t* codes, CodeLayout, void* y);
  /// clip_mask may be null. y may be x.
  void (*fake_quantize)(const ScaledTensor&, const void* x, void* y, std::uint8_t* clip_mask);
  /// dx may be dy.
  void (*fake_quantize_backward)(const ScaledTensor&, const void* dy, const void* x, void* dx);
  void (*fake_quantize_backward_from_mask)(DType, std::int64_t count, const void* dy,
                                           const std::uint8_t* clip_mask, void* dx,
                                           int num_threads);
  /// gradient_scale: one g for each scale. dzero_point may be null. dx may be dy.
  void (*learned_scale_backward)(const ScaledTensor&, const void* dy, const void* x, void* dx,
                                 const double* gradient_scale, double* dscale, double* dzero_point);
  /// Only dtype, shape, granularity, num_scales and num_threads of the ScaledTensor are set.
  void (*statistics)(const ScaledTensor&, const void* x, Statistics* result);
  /// amax: one for each scale.
  void (*quantization_error)(const ScaledTensor&, const void* x, const double* amax,
                             QuantizationError* result);
  void (*accumulate_key_histogram)(DType, std::int64_t count, const void* x, std::uint64_t* counts,
                                   int num_threads);
  void (*accumulate_linear_histogram)(DType, std::int64_t count, const void* x, double amax,
                                      BinRange, std::span<std::uint64_t> counts, int num_threads);
  /// Ranks are in [0, finite elements); batches have one dtype.
  void (*order_statistics)(std::span<const ConstTensorView> batches, OrderBy,
                           std::span<const std::int64_t> ranks, double* result, int num_threads);
  /// x has rank 2. Codes a byte each; codes may be null.
  void (*quantize_transposed)(const ScaledTensor&, const void* x, std::uint8_t* codes,
                              std::uint8_t* codes_transposed);
  /// y = x / scale or x * scale. The quantizer and the zero points mean nothing. y may be x.
  void (*scale_elements)(const ScaledTensor&, const void* x, void* y, bool divides);
  /// Adds to *error the squares of x w^T - xq wq^T, and to *signal those of x w^T. All are f64,
  /// x and xq [rows, inputs], w and wq transposed to [inputs, outputs].
  void (*product_error)(const ProductError&, double* error, double* signal);
  void (*int8_gemm)(const Int8Product&, std::int32_t* product);
  /// Sums of (x - zx) (w - zw) stay within int64.
  void (*int8_linear)(const Int8Linear&, void* y);
  /// The layer's dtype is f32; what the tensor says of y, [m, n], has one scale. Codes a byte each.
  void (*int8_linear_codes)(const Int8Linear&, const ScaledTensor& y, std::uint8_t* codes);
  void (*fp8_linear)(const Fp8Linear&, void* y);
  void (*gemm)(const RealProduct&, void* y);
};

}  // namespace cuqat::detail
