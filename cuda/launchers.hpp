// The launchers: each puts its kernels on the stream. Arguments have been checked.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <span>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/device_percentile.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/format.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::gpu {

/// How a tensor's elements map to scales, which lie in device memory.
struct DeviceScaledTensor {
  DType dtype;
  Shape shape;
  Granularity granularity;  ///< kChannel: the axis is in [0, rank).
  Quantizer quantizer;
  std::int64_t num_scales;
  const void* scale;               ///< f64 for f64 tensors, else f32.
  const std::int32_t* zero_point;  ///< Null: all 0.
};

/// What becomes of a range.
struct RangeRule {
  Quantizer quantizer;
  bool symmetric;
};

/// Scales that are found on the device.
struct ScaleOutput {
  void* scale;               ///< f64 for f64 tensors, else f32.
  std::int32_t* zero_point;  ///< Null: not wanted.
  /// Null: not wanted. Otherwise the ranges that the scales are made of, as found: of observers and
  /// calibrations.
  Range* range = nullptr;
};

/// A tensor whose groups get the scales of their own ranges.
struct DynamicTensor {
  DType dtype;
  Shape shape;
  std::int64_t group_size;  ///< Of the last axis.
  RangeRule rule;
  ScaleOutput scales;
};

/// Bytes of a part of scratch memory: what follows begins where cudaMalloc would begin.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Where kernels are launched.
struct LaunchTarget {
  int num_multiprocessors;
  std::size_t max_shared_bytes;  ///< That a block can have where it asks for more than usual.
  cudaStream_t stream;
  void* workspace;
  std::source_location operation;  ///< Named by the error of a launch that fails.
};

/// What the runtime says of a kernel on the current device: cudaErrorNoKernelImageForDevice, say.
cudaError_t find_device_code();

/// Bytes at the begin of the workspace that a reduction takes; zero before its first launch.
std::size_t reduction_workspace_bytes(int num_multiprocessors);

/// statistics may be null.
void launch_quantize(const DeviceScaledTensor& tensor, const void* x, std::uint8_t* codes,
                     CodeLayout layout, Statistics* statistics, const LaunchTarget& target);
void launch_dequantize(const DeviceScaledTensor& tensor, const std::uint8_t* codes,
                       CodeLayout layout, void* y, const LaunchTarget& target);
/// The shape has rank 2. codes may be null.
void launch_quantize_transposed(const DeviceScaledTensor& tensor, const void* x,
                                std::uint8_t* codes, std::uint8_t* codes_transposed,
                                const LaunchTarget& target);
/// clip_mask and statistics may be null. y may be x.
void launch_fake_quantize(const DeviceScaledTensor& tensor, const void* x, void* y,
                          std::uint8_t* clip_mask, Statistics* statistics,
                          const LaunchTarget& target);
/// One tensor of a batch; clip_mask may be null.
struct FakeQuantizeWork {
  DeviceScaledTensor tensor;
  const void* x;
  void* y;
  std::uint8_t* clip_mask;
};
/// What a launch of a batch reads from device memory.
struct FakeQuantizeBatchTable {
  std::vector<std::byte> bytes;
  std::size_t tiles_offset = 0;
  std::int64_t num_tiles = 0;
};
FakeQuantizeBatchTable fake_quantize_batch_table(std::span<const FakeQuantizeWork> works);
void launch_fake_quantize_batch(DType dtype, const Quantizer& quantizer, const void* table,
                                std::size_t tiles_offset, std::int64_t num_tiles,
                                const LaunchTarget& target);
/// dx may be dy or x.
void launch_fake_quantize_backward(const DeviceScaledTensor& tensor, const void* dy, const void* x,
                                   void* dx, const LaunchTarget& target);
/// dx may be dy.
void launch_fake_quantize_backward_from_mask(DType dtype, std::int64_t count, const void* dy,
                                             const std::uint8_t* clip_mask, void* dx,
                                             const LaunchTarget& target);
/// Nothing but the scales.
void launch_dynamic_scales(const DynamicTensor& tensor, const void* x, const LaunchTarget& target);
/// Packed codes: groups and rows have an even number of elements.
void launch_quantize_dynamic(const DynamicTensor& tensor, const void* x, std::uint8_t* codes,
                             CodeLayout layout, const LaunchTarget& target);
/// clip_mask and statistics may be null. With a mask, groups and rows are multiples of eight
/// elements. y may be x.
void launch_fake_quantize_dynamic(const DynamicTensor& tensor, const void* x, void* y,
                                  std::uint8_t* clip_mask, Statistics* statistics,
                                  const LaunchTarget& target);

/// n ranges to n scales of the compute type.
void launch_range_scales(DType compute, std::int64_t n, const Range* ranges, const RangeRule& rule,
                         const ScaleOutput& scales, const LaunchTarget& target);

/// The observers: n statistics to n scales of the compute type.
void launch_minmax_scales(DType compute, std::int64_t n, const Statistics* batch,
                          const RangeRule& rule, const ScaleOutput& scales,
                          const LaunchTarget& target);
void launch_moving_average(DType compute, std::int64_t n, const Statistics* batch, double momentum,
                           MovingAverageState* state, const RangeRule& rule,
                           const ScaleOutput& scales, const LaunchTarget& target);
/// history is [length, n].
void launch_amax_history(DType compute, std::int64_t n, const Statistics* batch, double* history,
                         std::int64_t length, std::int64_t* num_steps, int margin,
                         const Quantizer& quantizer, const ScaleOutput& scales,
                         const LaunchTarget& target);

/// y = x / scale or x * scale. y may be x.
void launch_scale_elements(const DeviceScaledTensor& tensor, const void* x, void* y, bool divides,
                           const LaunchTarget& target);
/// y = sums + bias, both of the compute type, a bias for each column. The rows of the sums follow
/// each other; they may be y.
void launch_add_bias(DType dtype, std::int64_t rows, std::int64_t columns, const void* bias,
                     const void* sums, void* y, std::int64_t y_stride, const LaunchTarget& target);

/// Factors of the compute type.
void launch_equalization_factors(DType compute, std::int64_t n, const Statistics* activations,
                                 const Statistics* weights, double alpha, void* factors,
                                 const LaunchTarget& target);

/// A matrix at any address, row by row.
struct NumberMatrix {
  const void* data;
  DType dtype;
  std::int64_t rows;
  std::int64_t columns;
};
/// y = x w^T in f64, [x.rows, w.rows], each sum in the order of the columns.
void launch_f64_product(const NumberMatrix& x, const NumberMatrix& w, double* y,
                        const LaunchTarget& target);

/// Products x w^T and xq wq^T.
struct ComparedProducts {
  NumberMatrix x;
  NumberMatrix w;
  NumberMatrix xq;
  NumberMatrix wq;
  const double* exact;  ///< x w^T where it is known; null: it is made.
};
/// Sums of squares: of the differences, and of x w^T.
struct SquareSums {
  double error;
  double signal;
};
/// Scratch memory where so many rows are compared at once, at least one.
std::size_t output_error_scratch_bytes(std::int64_t outputs, std::int64_t rows_at_once);
/// Uses as much of the scratch memory as it can, which is at least that of one row.
void launch_output_error(const ComparedProducts& products, double* result, void* scratch,
                         std::size_t scratch_bytes, const LaunchTarget& target);

void launch_statistics(DType dtype, std::int64_t count, const void* x, Statistics* result,
                       const LaunchTarget& target);

/// The dtype is not f64. statistics may be null.
void launch_key_histogram(DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
                          Statistics* statistics, const LaunchTarget& target);

/// Both in one read. The dtype is bf16 or f16; clip_mask may be null; y is not x.
void launch_observe_fake_quantize(const DeviceScaledTensor& tensor, const void* x, void* y,
                                  std::uint8_t* clip_mask, std::uint64_t* counts,
                                  const LaunchTarget& target);

/// to += from. They may be the same.
void launch_add_counts(std::int64_t n, const std::uint64_t* from, std::uint64_t* to,
                       const LaunchTarget& target);

/// Adds the finite elements of f32 but for zeros to bins of equal width over [0, amax] or [-amax,
/// amax], an even number of them; or to those of a search among FP8 ranges, kNumKeys / 2
/// magnitudes.
void launch_equal_bins(std::int64_t count, const void* x, double amax, BinRange range,
                       std::size_t num_bins, std::uint64_t* counts, const LaunchTarget& target);
void launch_relative_bins(std::int64_t count, const void* x, double amax, std::uint64_t* counts,
                          const LaunchTarget& target);

/// Keys of f32, as the upper halves of ordered patterns, whose elements are counted by their lower
/// halves.
struct SelectedKeys {
  static constexpr int kMost = 2 * static_cast<int>(kMaxPercentiles);

  int num_keys;
  unsigned key[kMost];
};
/// Adds elements of f32: kNumKeys counts for each key, which are in device memory too.
void launch_low_counts(OrderBy order, std::int64_t count, const void* x, const SelectedKeys* keys,
                       std::uint64_t* counts, const LaunchTarget& target);

/// What is asked of the finite elements of a tensor or a scale.
struct PercentileRequest {
  OrderBy order;
  int num_percentiles;
  double percentile[kMaxPercentiles];
};

/// Scratch memory of launch_percentiles. The dtype is not f64.
std::size_t percentile_scratch_bytes(DType dtype, OrderBy order, std::size_t num_percentiles);
/// The result has an entry for each percentile. The dtype is not f64.
void launch_percentiles(DType dtype, std::int64_t count, const void* x,
                        const PercentileRequest& request, Range* result, void* scratch,
                        const LaunchTarget& target);

/// Scratch memory of sorting. Of the tensor dtype, shape, granularity and num_scales are used, here
/// and below.
std::size_t sort_scratch_bytes(const DeviceScaledTensor& tensor, const LaunchTarget& target);
/// Sorts the elements of each scale. The keys that are returned are in the scratch memory, in
/// segments (scale_segments of dispatch.hpp). The tensor has elements.
const void* launch_sort_scales(const DeviceScaledTensor& tensor, const void* x, OrderBy order,
                               void* scratch, std::size_t scratch_bytes,
                               const LaunchTarget& target);
/// The result is [num_scales, num_percentiles]; the scratch memory is that of sorting.
void launch_sorted_percentiles(const DeviceScaledTensor& tensor, const void* x,
                               const PercentileRequest& request, Range* result, void* scratch,
                               std::size_t scratch_bytes, const LaunchTarget& target);

/// Device memory of a collector's calibration. It begins with the kNumKeys counts, behind which one
/// of f32 has ObservedStatistics.
std::size_t calibration_state_bytes(DType dtype);
struct ObservedStatistics {
  Statistics all;
  Statistics batch;
};
/// Those of nothing.
void launch_clear_statistics(Statistics* all, const LaunchTarget& target);
/// all += batch. They may be the same.
void launch_merge_statistics(const Statistics* batch, Statistics* all, const LaunchTarget& target);
/// One method's scale, from what has been observed. The dtype is not f64; the method is not
/// kEntropy in the original's dialect.
void launch_calibration(DType dtype, const CalibrationOptions& options, const Quantizer& quantizer,
                        void* state, const ScaleOutput& output, const LaunchTarget& target);

/// One method for each scale of a tensor, which is not f64. Of the tensor dtype, shape, granularity
/// and num_scales are used.
struct ScaleCalibration {
  DeviceScaledTensor tensor;
  CalibrationOptions options;
  Quantizer quantizer;
};
/// Elements of the largest scale.
std::int64_t longest_scale(const DeviceScaledTensor& tensor);
/// Scratch memory where `scales_at_once` scales are searched side by side, at least one.
std::size_t scale_calibration_scratch_bytes(const ScaleCalibration& calibration,
                                            std::int64_t scales_at_once,
                                            const LaunchTarget& target);
/// Uses as much of the scratch memory as it can, which is at least that of one scale at once.
/// Groups of f32 have at most kMaxSearchedElements elements.
void launch_scale_calibration(const ScaleCalibration& calibration, const void* x,
                              const ScaleOutput& output, void* scratch, std::size_t scratch_bytes,
                              const LaunchTarget& target);

/// Of the tensor dtype, shape, granularity and num_scales are used.
void launch_scale_statistics(const DeviceScaledTensor& tensor, const void* x, Statistics* result,
                             const LaunchTarget& target);

/// Statistics and results: one for each scale.
void launch_quantization_error(const DeviceScaledTensor& tensor, const void* x,
                               const Statistics* statistics, QuantizationError* result,
                               const LaunchTarget& target);

/// What gradients of learned scales are written to and multiplied with.
struct LearnedScaleGradients {
  void* dscale;       ///< Of the compute type, num_scales of them.
  void* dzero_point;  ///< The same, or null.
  std::optional<double> gradient_scale;
};

/// Bytes of workspace for the gradients: 0 where no scale has more than 4 096 elements. Of the
/// tensor shape, granularity and num_scales are used.
std::size_t learned_scale_workspace_bytes(const DeviceScaledTensor& tensor);
/// dx may be dy or x.
void launch_learned_scale_backward(const DeviceScaledTensor& tensor, const void* dy, const void* x,
                                   void* dx, const LearnedScaleGradients& gradients,
                                   const LaunchTarget& target);
/// Its second part, from what the first left in the workspace behind its first 256 bytes: for each
/// scale and each 4 096 of its elements, the f64 sums for the scale and for the zero point.
void launch_sum_rounds(const DeviceScaledTensor& tensor, const LearnedScaleGradients& gradients,
                       const LaunchTarget& target);

}  // namespace cuqat::gpu
