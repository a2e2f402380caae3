// One-pass statistics of a tensor, its channels or its groups.
#include "cuqat/statistics.hpp"

#include <limits>

#include "cpu/columns.hpp"
#include "cpu/operations.hpp"

namespace cuqat::cpu {
namespace {

using detail::ScaledTensor;

void add(Statistics& result, std::int64_t count, const PartialStatistics& part) {
  // Adding +0 turns a minimum or maximum of -0 into +0.
  result.merge(
      {count, part.nan, part.pos_inf, part.neg_inf, part.zeros, part.min + 0.0, part.max + 0.0});
}

/// Elements of one scale.
Statistics run_statistics(const Kernels& kernels, DType dtype, const void* x, std::int64_t first,
                          std::int64_t length) {
  Statistics result;
  for (std::int64_t done = 0; done < length; done += kTile) {
    const std::int64_t n = std::min(kTile, length - done);
    add(result, n, kernels.statistics(dtype, element(dtype, x, first + done), n));
  }
  return result;
}

/// The same for each column of a strip.
template <typename C>
class StripStatistics {
 public:
  explicit StripStatistics(std::int64_t columns) : columns_(columns) {
    std::fill_n(min_, columns, std::numeric_limits<C>::infinity());
    std::fill_n(max_, columns, -std::numeric_limits<C>::infinity());
    for (auto* counts : {nan_, pos_inf_, neg_inf_, zeros_}) std::fill_n(counts, columns, 0u);
  }

  void read(const Kernels& kernels, DType dtype, const void* x, const Strip& strip,
            std::int64_t stride) {
    rows_ = strip.rows;
    const void* const first = element(dtype, x, strip.first_row * stride + strip.first_column);
    kernels.statistics_columns(dtype, first, strip.rows, columns_, stride,
                               {min_, max_, nan_, pos_inf_, neg_inf_, zeros_});
  }

  void add_to(const ScaleLayout& layout, std::int64_t first_column, Statistics* result) const {
    for (std::int64_t i = 0; i < columns_; ++i) {
      add(result[scale_of_column(layout, first_column + i)], rows_,
          {nan_[i], pos_inf_[i], neg_inf_[i], zeros_[i], min_[i], max_[i]});
    }
  }

 private:
  std::int64_t columns_;
  std::int64_t rows_ = 0;
  C min_[kMaxColumns];
  C max_[kMaxColumns];
  std::uint32_t nan_[kMaxColumns];
  std::uint32_t pos_inf_[kMaxColumns];
  std::uint32_t neg_inf_[kMaxColumns];
  std::uint32_t zeros_[kMaxColumns];
};

template <typename C>
void column_statistics(const Kernels& kernels, const ScaledTensor& tensor,
                       const ScaleLayout& layout, const void* x, Statistics* result) {
  constexpr std::int64_t kMaxRows = std::int64_t{1} << 30;
  for_each_strip(layout, kMaxRows, tensor.num_threads,
                 [&](const Strip& strip, std::int64_t stride) {
                   StripStatistics<C> columns(strip.columns);
                   columns.read(kernels, tensor.dtype, x, strip, stride);
#pragma omp critical(cuqat_column_statistics)
                   columns.add_to(layout, strip.first_column, result);
                 });
}

}  // namespace

void statistics(const Kernels& kernels, const ScaledTensor& tensor, const void* x,
                Statistics* result) {
  const ScaleLayout layout(tensor);
  std::fill_n(result, layout.num_scales, Statistics{});
  if (layout.count == 0) return;
  if (reduces_by_columns(layout)) {
    if (tensor.dtype == DType::kF64) {
      column_statistics<double>(kernels, tensor, layout, x, result);
    } else {
      column_statistics<float>(kernels, tensor, layout, x, result);
    }
    return;
  }
  for_each_chunk(
      layout.count, kChunk, tensor.num_threads, [&](std::int64_t first, std::int64_t last) {
        for_each_run(layout, first, last,
                     [&](std::int64_t begin, std::int64_t n, std::int64_t index) {
                       const Statistics part = run_statistics(kernels, tensor.dtype, x, begin, n);
                       if (layout.is_whole_run(begin, n)) {
                         result[index] = part;
                         return;
                       }
      // Merging is exact: its order is of no account.
#pragma omp critical(cuqat_run_statistics)
                       result[index].merge(part);
                     });
      });
}

}  // namespace cuqat::cpu
