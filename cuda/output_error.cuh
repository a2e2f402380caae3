// Products of matrices in f64, and what two of them differ by: each product and each sum the
// host's, bit for bit. A dot product goes from the first input to the last, a row's squares from
// the first output to the last, rows one after the other.
//
// No product of cuBLASLt, whose order of a sum is its own, nor one of the tensor cores, whose f64
// instructions add several products in an order that PTX leaves open.
//
// Products: a block owns a tile of 64 rows by 128 outputs and walks over the inputs 16 at a time,
// which it converts to f64 once, into shared memory. A warp has eight rows, a lane every 32nd
// output: 32 sums in registers. Of an input all lanes read the same eight numbers of x, two at
// once, and 32 of w that lie together: 12 cycles of shared memory, of 16 that are a warp's share
// while it adds. Two blocks fit on a multiprocessor, and one loads while the other adds.
//
// Numbers of f32, bf16 and f16 have products of at most 48 bits, which are exact in f64: a fused
// step then has the bits of a rounded product and a rounded sum, and is half the instructions.
//
// Bound by f64 arithmetic: rows * inputs * outputs steps, of which an H100 SXM or an H200 does
// 17 * 10^12 a second by NVIDIA's figures (34 TFLOP/s): 4 ms for 4096 of each, twice that for f64
// data. GPUs that are not made for f64 have a 64th of their f32 rate. Bytes moved a step:
// sizeof(T) (1 / 64 + 1 / 128), most of them from the L2 cache, and 8 an output. What compares two
// products reads 16 an output; the squares of a row are added by one thread, as their order asks,
// which takes the latency of an addition for each: rows go side by side.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/fused_multiply_add.hpp"
#include "launch.hpp"
#include "launchers.hpp"
#include "pack.cuh"
#include "shared_storage.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

inline constexpr int kProductRows = 64;
inline constexpr int kProductOutputs = 128;
inline constexpr int kProductDepth = 16;
inline constexpr int kRowsOfWarp = kProductRows / (kBlockThreads / kWarpThreads);
inline constexpr int kOutputsOfLane = kProductOutputs / kWarpThreads;

/// Some inputs of a tile's rows and outputs, input by input. A number more keeps a warp's writes of
/// w in different banks; of x two, for reads of two at once: of its writes two share a bank.
struct ProductStorage {
  alignas(16) double x[kProductDepth][kProductRows + 2];
  double w[kProductDepth][kProductOutputs + 1];
};

namespace detail {

/// 0 past the matrix.
__device__ inline double load_number(const NumberMatrix& matrix, std::int64_t row,
                                     std::int64_t column) {
  if (row >= matrix.rows || column >= matrix.columns) return 0.0;
  const std::int64_t i = row * matrix.columns + column;
  switch (matrix.dtype) {
    case DType::kF64:
      return load_element<double>(matrix.data, i);
    case DType::kF32:
      return static_cast<double>(load_element<float>(matrix.data, i));
    case DType::kF16:
      return static_cast<double>(scalar::load_compute(load_element<float16>(matrix.data, i)));
    case DType::kBF16:
      return static_cast<double>(scalar::load_compute(load_element<bfloat16>(matrix.data, i)));
  }
  return 0.0;
}

/// A thread's numbers of kRows rows from `row` on and kProductDepth columns from `column` on:
/// neighbours have neighbouring columns.
template <int kRows>
struct ProductPart {
  static constexpr int kNumbers = kRows * kProductDepth / kBlockThreads;

  double number[kNumbers];

  __device__ ProductPart(const NumberMatrix& matrix, std::int64_t row, std::int64_t column) {
#pragma unroll
    for (int i = 0; i < kNumbers; ++i) {
      number[i] = load_number(matrix, row + own_row(i), column + own_column());
    }
  }
  __device__ static int own_row(int i) {
    return (static_cast<int>(threadIdx.x) + i * kBlockThreads) / kProductDepth;
  }
  __device__ static int own_column() { return static_cast<int>(threadIdx.x) % kProductDepth; }
};

template <bool kProductsAreExact>
__device__ inline double add_product(double sum, double x, double w) {
  if constexpr (kProductsAreExact) return scalar::fused_multiply_add(x, w, sum);
  return sum + x * w;
}

}  // namespace detail

/// y = x w^T, tile by tile, row after row. kProductsAreExact: neither is f64.
template <bool kProductsAreExact>
__global__ void __launch_bounds__(kBlockThreads, 2)
    f64_product_kernel(NumberMatrix x, NumberMatrix w, std::int64_t num_tiles,
                       std::int64_t tiles_across, double* y) {
  auto& shared = shared_storage<ProductStorage>();
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int first_row = static_cast<int>(threadIdx.x) / kWarpThreads * kRowsOfWarp;
  for (std::int64_t tile = blockIdx.x; tile < num_tiles; tile += gridDim.x) {
    const std::int64_t tile_row = tile / tiles_across;
    const std::int64_t row = tile_row * kProductRows;
    const std::int64_t output = (tile - tile_row * tiles_across) * kProductOutputs;
    double sum[kRowsOfWarp][kOutputsOfLane] = {};
    for (std::int64_t input = 0; input < x.columns; input += kProductDepth) {
      using PartOfX = detail::ProductPart<kProductRows>;
      using PartOfW = detail::ProductPart<kProductOutputs>;
      const PartOfX of_x(x, row, input);
      const PartOfW of_w(w, output, input);
      __syncthreads();  // the inputs before have been multiplied
#pragma unroll
      for (int i = 0; i < PartOfX::kNumbers; ++i) {
        shared.x[PartOfX::own_column()][PartOfX::own_row(i)] = of_x.number[i];
      }
#pragma unroll
      for (int i = 0; i < PartOfW::kNumbers; ++i) {
        shared.w[PartOfW::own_column()][PartOfW::own_row(i)] = of_w.number[i];
      }
      __syncthreads();
#pragma unroll 1  // of more the loads take registers that the sums need
      for (int k = 0; k < kProductDepth; ++k) {
        double of_lane[kOutputsOfLane];
#pragma unroll
        for (int j = 0; j < kOutputsOfLane; ++j) {
          of_lane[j] = shared.w[k][lane + j * kWarpThreads];
        }
#pragma unroll
        for (int i = 0; i < kRowsOfWarp; ++i) {
          const double of_row = shared.x[k][first_row + i];
#pragma unroll
          for (int j = 0; j < kOutputsOfLane; ++j) {
            sum[i][j] = detail::add_product<kProductsAreExact>(sum[i][j], of_row, of_lane[j]);
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kRowsOfWarp; ++i) {
      const std::int64_t own_row = row + first_row + i;
#pragma unroll
      for (int j = 0; j < kOutputsOfLane; ++j) {
        const std::int64_t own_output = output + lane + j * kWarpThreads;
        if (own_row < x.rows && own_output < w.rows) y[own_row * w.rows + own_output] = sum[i][j];
      }
    }
  }
}

inline constexpr int kSquaresAtOnce = 1024;

struct SquaresStorage {
  double error[kSquaresAtOnce];
  double signal[kSquaresAtOnce];
};

namespace detail {

/// Threads that add: each is another warp's, so that they do it side by side.
__device__ inline bool adds_errors() { return threadIdx.x == 0; }
__device__ inline bool adds_signals() { return threadIdx.x == kWarpThreads; }

/// sum + term(0) + term(1) + ... + term(n - 1), from left to right: of errors or of signals, in the
/// thread that adds them. All threads of the block call it, and find the terms.
template <typename Term>
__device__ inline double add_in_order(double sum, std::int64_t n, const Term& term) {
  auto& shared = shared_storage<SquaresStorage>();
  for (std::int64_t first = 0; first < n; first += kSquaresAtOnce) {
    const std::int64_t left = n - first;
    const int count = left < kSquaresAtOnce ? static_cast<int>(left) : kSquaresAtOnce;
    __syncthreads();  // those before have been added
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlockThreads) {
      const SquareSums squares = term(first + i);
      shared.error[i] = squares.error;
      shared.signal[i] = squares.signal;
    }
    __syncthreads();
    if (adds_errors() || adds_signals()) {
      const double* const squares = adds_errors() ? shared.error : shared.signal;
      for (int i = 0; i < count; ++i) sum += squares[i];
    }
  }
  return sum;
}

}  // namespace detail

/// A block for each row of two products.
__global__ void row_error_kernel(std::int64_t rows, std::int64_t outputs, const double* exact,
                                 const double* quantized, SquareSums* sums) {
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const double sum = detail::add_in_order(0.0, outputs, [&](std::int64_t output) {
      const double wanted = exact[row * outputs + output];
      const double difference = wanted - quantized[row * outputs + output];
      return SquareSums{difference * difference, wanted * wanted};
    });
    if (detail::adds_errors()) sums[row].error = sum;
    if (detail::adds_signals()) sums[row].signal = sum;
  }
}

/// One block: total += the rows' sums, where the first rows begin at 0; after the last rows the
/// result.
__global__ void total_error_kernel(std::int64_t rows, const SquareSums* sums, bool is_first,
                                   bool is_last, SquareSums* total, double* result) {
  const double before = is_first ? 0.0 : detail::adds_errors() ? total->error : total->signal;
  const double sum =
      detail::add_in_order(before, rows, [&](std::int64_t row) { return sums[row]; });
  if (detail::adds_errors()) total->error = sum;
  if (detail::adds_signals()) total->signal = sum;
  __syncthreads();
  if (!is_last || threadIdx.x != 0) return;
  const double relative = sum == 0.0 ? 0.0 : sum / total->signal;
  *result = scalar::is_nan(relative) ? scalar::quiet_nan<double>() : relative;
}

}  // namespace cuqat::gpu
