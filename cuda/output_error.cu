#include "output_error.cuh"

#include <algorithm>
#include <cstddef>

#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

/// Rows of a matrix.
NumberMatrix rows_of(const NumberMatrix& matrix, std::int64_t first, std::int64_t count) {
  const auto bytes = first * matrix.columns * static_cast<std::int64_t>(dtype_bytes(matrix.dtype));
  return {static_cast<const std::byte*>(matrix.data) + bytes, matrix.dtype, count, matrix.columns};
}

/// Sums of squares of a row, and so many products of it.
std::size_t bytes_of_row(std::int64_t outputs, std::size_t num_products = 2) {
  return sizeof(SquareSums) + static_cast<std::size_t>(outputs) * num_products * sizeof(double);
}

constexpr std::size_t kTotalBytes = aligned(sizeof(SquareSums));

/// Rows that the scratch memory holds: whole tiles where it holds one.
std::int64_t rows_in(std::size_t scratch_bytes, const ComparedProducts& products) {
  const std::size_t of_row = bytes_of_row(products.w.rows, products.exact != nullptr ? 1 : 2);
  const auto room = static_cast<std::int64_t>((scratch_bytes - kTotalBytes) / of_row);
  return room < kProductRows ? room : room / kProductRows * kProductRows;
}

}  // namespace

void launch_f64_product(const NumberMatrix& x, const NumberMatrix& w, double* y,
                        const LaunchTarget& target) {
  if (x.rows == 0 || w.rows == 0) return;
  const std::int64_t tiles_across = (w.rows - 1) / kProductOutputs + 1;
  const std::int64_t num_tiles = ((x.rows - 1) / kProductRows + 1) * tiles_across;
  const bool products_are_exact = x.dtype != DType::kF64 && w.dtype != DType::kF64;
  // A block takes one tile at a time.
  launch_streaming(num_tiles * kBlockThreads, 1, sizeof(ProductStorage), target,
                   products_are_exact ? &f64_product_kernel<true> : &f64_product_kernel<false>, x,
                   w, num_tiles, tiles_across, y);
}

std::size_t output_error_scratch_bytes(std::int64_t outputs, std::int64_t rows_at_once) {
  return kTotalBytes + static_cast<std::size_t>(rows_at_once) * bytes_of_row(outputs);
}

void launch_output_error(const ComparedProducts& products, double* result, void* scratch,
                         std::size_t scratch_bytes, const LaunchTarget& target) {
  const std::int64_t outputs = products.w.rows;
  // Without outputs or inputs all squares are 0.
  const bool are_empty = outputs == 0 || products.x.columns == 0;
  const std::int64_t rows = are_empty ? 0 : products.x.rows;
  const std::int64_t most = std::min(rows, rows_in(scratch_bytes, products));
  auto* const total = static_cast<SquareSums*>(scratch);
  auto* const sums = reinterpret_cast<SquareSums*>(static_cast<std::byte*>(scratch) + kTotalBytes);
  auto* const quantized = reinterpret_cast<double*>(sums + most);
  double* const exact = quantized + most * outputs;
  std::int64_t first = 0;
  do {
    const std::int64_t count = std::min(most, rows - first);
    const double* compared = exact;
    if (products.exact != nullptr) {
      compared = products.exact + first * outputs;
    } else {
      launch_f64_product(rows_of(products.x, first, count), products.w, exact, target);
    }
    launch_f64_product(rows_of(products.xq, first, count), products.wq, quantized, target);
    if (count > 0) {
      launch_streaming(count * kBlockThreads, 1, sizeof(SquaresStorage), target, &row_error_kernel,
                       count, outputs, compared, quantized, sums);
    }
    launch(1, sizeof(SquaresStorage), target, &total_error_kernel, count, sums, first == 0,
           first + count == rows, total, result);
    first += count;
  } while (first < rows);
}

}  // namespace cuqat::gpu
