// What becomes of the sums of a layer: scales, zero points and bias, each step rounded once, and
// then y's type, or codes of y.
//
// A thread takes eight neighbouring outputs of a few rows, so that what belongs to an output (its
// scale, zero point, sum of w and bias) is read once for all of them; sums are loaded and y is
// stored by 16 bytes where y lies at such.
//
// Bytes moved: 4 a sum (8 past kMaxInt32Depth) and sizeof(T), or 1 of a code. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/half.hpp"
#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Rows of a block of outputs that a thread takes.
inline constexpr int kEpilogueRows = 4;

/// What belongs to the rows of an operand, from the first that a block has.
struct EpilogueOperand {
  const void* scale;               ///< Of the compute type.
  const std::int32_t* zero_point;  ///< Null: all 0.
  const std::int64_t* sum;         ///< Of each row's codes; null where nothing needs it.
  int step;                        ///< 0 where all rows share scale and zero point, else 1.
};

/// A block of outputs.
struct Epilogue {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t sums_stride;  ///< A multiple of 8.
  std::int64_t y_stride;
  std::int64_t depth;  ///< k.
  EpilogueOperand x;
  EpilogueOperand w;
  const void* bias;  ///< Of the compute type, for the block's columns; null: none.
  Divider by_packs;
  std::int64_t packs_per_row;

  [[nodiscard]] __host__ __device__ std::int64_t num_items() const {
    return (rows + kEpilogueRows - 1) / kEpilogueRows * packs_per_row;
  }
};

/// What belongs to eight outputs. Whole numbers wrap where zero points are absurd.
template <typename C>
struct OutputTerms {
  C scale[kPackElements];
  C bias[kPackElements];
  std::uint64_t zero_point[kPackElements];
  std::uint64_t sum[kPackElements];  ///< k zw - the sum of w: what zx is multiplied with.
};

__device__ inline std::uint64_t wrapping(std::int64_t number) {
  return static_cast<std::uint64_t>(number);
}

template <typename C>
__device__ inline OutputTerms<C> load_outputs(const Epilogue& epilogue, std::int64_t column,
                                              int num_outputs) {
  OutputTerms<C> terms{};
  const EpilogueOperand& w = epilogue.w;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    if (i >= num_outputs) continue;
    const std::int64_t output = column + i;
    terms.scale[i] = static_cast<const C*>(w.scale)[output * w.step];
    if (epilogue.bias != nullptr) terms.bias[i] = static_cast<const C*>(epilogue.bias)[output];
    if (w.zero_point != nullptr) terms.zero_point[i] = wrapping(w.zero_point[output * w.step]);
    terms.sum[i] = wrapping(epilogue.depth) * terms.zero_point[i];
    if (w.sum != nullptr) terms.sum[i] -= wrapping(w.sum[output]);
  }
  return terms;
}

/// y as numbers of type T.
template <typename T>
struct NumbersOfOutputs {
  using Compute = scalar::ComputeType<T>;
  using Stored = T;

  /// What the launch is given, and what each thread makes of it.
  __device__ const NumbersOfOutputs& loaded() const { return *this; }
  __device__ T of(Compute value) const { return scalar::store_compute<T>(value); }
};

/// y as codes, by one scale. Those of f32 numbers.
template <typename Q>
struct CodesOfNumbers {
  using Compute = float;
  using Stored = std::uint8_t;

  struct Loaded {
    Q quantizer;
    float scale;
    std::int32_t zero_point;

    __device__ std::uint8_t of(float value) const {
      return static_cast<std::uint8_t>(
          scalar::quantize_element(quantizer, value, scale, zero_point));
    }
  };
  __device__ Loaded loaded() const {
    return {quantizer, *scale, zero_point == nullptr ? 0 : *zero_point};
  }

  Q quantizer;
  const float* scale;
  const std::int32_t* zero_point;  ///< Null: 0.
};

/// `Sum` is int32, int64 or f32, which has no zero points. Null sums are zeros.
template <typename Output, typename Sum, bool kHasZeroPoints>
__global__ void gemm_epilogue_kernel(Epilogue epilogue, const Sum* sums, Output given, void* y) {
  using C = typename Output::Compute;
  using T = typename Output::Stored;
  static_assert(!(kHasZeroPoints && std::is_floating_point_v<Sum>));
  const auto output = given.loaded();
  for_each_index(epilogue.num_items(), [&](std::int64_t item) {
    const std::int64_t group = epilogue.by_packs(item);
    const std::int64_t column = (item - group * epilogue.packs_per_row) * kPackElements;
    const std::int64_t left = epilogue.columns - column;
    const int num_outputs = left < kPackElements ? static_cast<int>(left) : kPackElements;
    const OutputTerms<C> outputs = load_outputs<C>(epilogue, column, num_outputs);
#pragma unroll
    for (int i = 0; i < kEpilogueRows; ++i) {
      const std::int64_t row = group * kEpilogueRows + i;
      if (row >= epilogue.rows) return;
      const EpilogueOperand& x = epilogue.x;
      const C row_scale = static_cast<const C*>(x.scale)[row * x.step];
      Pack<Sum> found{};
      if (sums != nullptr) {
        found = load_pack<Sum>(sums, WholePack{row * epilogue.sums_stride + column});
      }
      std::uint64_t row_zero_point = 0;
      std::uint64_t row_sum = 0;
      if constexpr (kHasZeroPoints) {
        if (x.zero_point != nullptr) row_zero_point = wrapping(x.zero_point[row * x.step]);
        if (x.sum != nullptr) row_sum = wrapping(x.sum[row]);
      }
      Pack<T> result;
#pragma unroll
      for (int j = 0; j < kPackElements; ++j) {
        C value = static_cast<C>(found.element[j]);
        if constexpr (kHasZeroPoints) {
          value = static_cast<C>(static_cast<std::int64_t>(wrapping(found.element[j]) +
                                                           row_zero_point * outputs.sum[j] -
                                                           outputs.zero_point[j] * row_sum));
        }
        value = (row_scale * outputs.scale[j]) * value;
        if (epilogue.bias != nullptr) value += outputs.bias[j];
        result.element[j] = output.of(value);
      }
      store_pack(y, PackSpan{row * epilogue.y_stride + column, 0, num_outputs}, result);
    }
  });
}

}  // namespace cuqat::gpu
