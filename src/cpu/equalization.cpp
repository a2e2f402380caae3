// Channels scaled, and two products compared.
#include <vector>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

/// Rows that share a read of the weights, and outputs whose sums stay in the first cache.
constexpr std::int64_t kTileRows = 8;
constexpr std::int64_t kTileOutputs = 256;

/// What one row adds.
struct RowSums {
  double error = 0.0;
  double signal = 0.0;
};

void add_row(const double* exact, const double* quantized, std::int64_t n, RowSums& sums) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double difference = exact[i] - quantized[i];
    sums.error += difference * difference;
    sums.signal += exact[i] * exact[i];
  }
}

}  // namespace

void scale_elements(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                    void* y, bool divides) {
  const ScaleLayout scales(tensor);
  for_each_chunk(scales.count, kChunk, tensor.num_threads,
                 [&](std::int64_t first, std::int64_t last) {
                   ScaleBuffer buffer;
                   for (std::int64_t begin = first; begin < last; begin += kTile) {
                     const std::int64_t n = std::min(kTile, last - begin);
                     kernels.scale_elements(tensor.dtype, buffer.tile(tensor, scales, begin, n),
                                            element(tensor.dtype, x, begin),
                                            element(tensor.dtype, y, begin), n, divides);
                   }
                 });
}

void product_error(const Kernels& kernels, const detail::ProductError& products, double* error,
                   double* signal) {
  std::vector<RowSums> of_row(static_cast<std::size_t>(products.rows));
  for_each_chunk(
      products.rows, kTileRows, products.num_threads, [&](std::int64_t first, std::int64_t last) {
        double exact[kTileRows * kTileOutputs];
        double quantized[kTileRows * kTileOutputs];
        for (std::int64_t begin = 0; begin < products.outputs; begin += kTileOutputs) {
          const std::int64_t outputs = std::min(kTileOutputs, products.outputs - begin);
          const auto multiply = [&](const double* x, const double* w, double* y) {
            std::fill_n(y, (last - first) * outputs, 0.0);
            kernels.product_tile(DType::kF64,
                                 {x + first * products.inputs, last - first, products.inputs,
                                  w + begin, products.outputs, outputs},
                                 y);
          };
          multiply(products.x, products.w_transposed, exact);
          multiply(products.xq, products.wq_transposed, quantized);
          for (std::int64_t row = first; row < last; ++row) {
            const std::int64_t at = (row - first) * outputs;
            add_row(exact + at, quantized + at, outputs, of_row[static_cast<std::size_t>(row)]);
          }
        }
      });
  *error = 0.0;
  *signal = 0.0;
  for (const RowSums& row : of_row) {
    *error += row.error;
    *signal += row.signal;
  }
}

}  // namespace cuqat::cpu
