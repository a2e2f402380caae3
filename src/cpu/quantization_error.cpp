// What quantizing costs, summed exactly.
#include "cpu/columns.hpp"
#include "cpu/operations.hpp"
#include "cuqat/statistics.hpp"

namespace cuqat::cpu {
namespace {

using detail::ScaledTensor;

void add(QuantizationError& result, const PartialError& part) {
  result.count += part.count;
  result.clipped += part.clipped;
  result.rounding.add(part.rounding, 1);
  result.clipping.add(part.clipping, 1);
  result.signal.add(part.signal, 1);
}

ErrorUnits error_units(const ScaledTensor& tensor, const double* amax, std::int64_t index) {
  const double unit =
      rounding_unit(tensor.quantizer.format, scale_value(tensor, index), amax[index]);
  return {1.0 / unit, 1.0 / amax[index]};
}

/// Elements of one scale.
QuantizationError run_error(const Kernels& kernels, const ScaledTensor& tensor, const void* x,
                            const double* amax, std::int64_t index, std::int64_t first,
                            std::int64_t length) {
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const TileScale scale = single_scale(tensor, index);
  const ErrorUnits units = error_units(tensor, amax, index);
  QuantizationError result;
  for (std::int64_t done = 0; done < length; done += kErrorBlock) {
    add(result,
        kernels.quantization_error(quantizer, scale, units, element(tensor.dtype, x, first + done),
                                   std::min(kErrorBlock, length - done)));
  }
  return result;
}

/// The same for each column of a strip.
template <typename C>
class StripErrors {
 public:
  StripErrors(const ScaledTensor& tensor, const ScaleLayout& layout, const double* amax,
              const Strip& strip)
      : columns_(strip.columns) {
    for (std::int64_t i = 0; i < columns_; ++i) {
      const std::int64_t index = scale_of_column(layout, strip.first_column + i);
      const ErrorUnits units = error_units(tensor, amax, index);
      scale_[i] = static_cast<C>(scale_value(tensor, index));
      zero_point_[i] = tensor.zero_point[index];
      rounding_unit_[i] = units.rounding;
      amax_unit_[i] = units.amax;
    }
    for (auto* sums : {count_, clipped_, rounding_, clipping_, signal_}) {
      std::fill_n(sums, columns_, std::uint64_t{0});
    }
  }

  void read(const Kernels& kernels, const ScaledTensor& tensor, const void* x, const Strip& strip,
            std::int64_t stride) {
    kernels.quantization_error_columns(
        tile_quantizer(tensor), {scale_, zero_point_, true},
        element(tensor.dtype, x, strip.first_row * stride + strip.first_column), strip.rows,
        columns_, stride,
        {rounding_unit_, amax_unit_, count_, clipped_, rounding_, clipping_, signal_});
  }

  void add_to(const ScaleLayout& layout, std::int64_t first_column,
              QuantizationError* result) const {
    for (std::int64_t i = 0; i < columns_; ++i) {
      add(result[scale_of_column(layout, first_column + i)],
          PartialError{static_cast<std::int64_t>(count_[i]), static_cast<std::int64_t>(clipped_[i]),
                       rounding_[i], clipping_[i], signal_[i]});
    }
  }

 private:
  std::int64_t columns_;
  C scale_[kMaxColumns];
  std::int32_t zero_point_[kMaxColumns];
  double rounding_unit_[kMaxColumns];
  double amax_unit_[kMaxColumns];
  std::uint64_t count_[kMaxColumns];
  std::uint64_t clipped_[kMaxColumns];
  std::uint64_t rounding_[kMaxColumns];
  std::uint64_t clipping_[kMaxColumns];
  std::uint64_t signal_[kMaxColumns];
};

template <typename C>
void column_errors(const Kernels& kernels, const ScaledTensor& tensor, const ScaleLayout& layout,
                   const void* x, const double* amax, QuantizationError* result) {
  for_each_strip(layout, kErrorBlock, tensor.num_threads,
                 [&](const Strip& strip, std::int64_t stride) {
                   StripErrors<C> columns(tensor, layout, amax, strip);
                   columns.read(kernels, tensor, x, strip, stride);
#pragma omp critical(cuqat_column_errors)
                   columns.add_to(layout, strip.first_column, result);
                 });
}

}  // namespace

void quantization_error(const Kernels& kernels, const ScaledTensor& tensor, const void* x,
                        const double* amax, QuantizationError* result) {
  const ScaleLayout layout(tensor);
  std::fill_n(result, layout.num_scales, QuantizationError{});
  if (layout.count == 0) return;
  if (reduces_by_columns(layout)) {
    if (tensor.dtype == DType::kF64) {
      column_errors<double>(kernels, tensor, layout, x, amax, result);
    } else {
      column_errors<float>(kernels, tensor, layout, x, amax, result);
    }
    return;
  }
  for_each_chunk(
      layout.count, kChunk, tensor.num_threads, [&](std::int64_t first, std::int64_t last) {
        for_each_run(
            layout, first, last, [&](std::int64_t begin, std::int64_t n, std::int64_t index) {
              const QuantizationError part = run_error(kernels, tensor, x, amax, index, begin, n);
              if (layout.is_whole_run(begin, n)) {
                result[index] = part;
                return;
              }
      // Merging is exact: its order is of no account.
#pragma omp critical(cuqat_run_errors)
              result[index].merge(part);
            });
      });
}

}  // namespace cuqat::cpu
