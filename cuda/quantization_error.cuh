// What quantizing costs, for a tensor and for every channel or group.
//
// A warp owns a chunk of one scale's terms (scale_terms.cuh) and adds what its lanes have summed by
// shuffles; in strips each thread has a scale. All sums are of integers (docs/numerics.md, "Squared
// errors"), so the results take them by atomics, which give the same bits in any order. The results
// start as zeros, from a kernel of its own.
//
// Bytes moved: sizeof(T) an element; 64 a scale, and up to 7 atomics for each chunk or thread.
// Bound by arithmetic: a division, and two squares in f64, for each element.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/squared_error.hpp"
#include "cuqat/statistics.hpp"
#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_terms.cuh"
#include "wide_sum.cuh"

namespace cuqat::gpu {

/// The sums of up to a chunk's elements: terms are at most 2^51.
struct ChunkErrors {
  std::uint32_t counts = 0;  ///< Finite elements, and 2^16 for each that is clipped.
  unsigned long long rounding = 0;
  unsigned long long clipping = 0;
  unsigned long long signal = 0;
};

/// One scale's element errors.
template <typename Q, typename C>
class ErrorTerms {
 public:
  __device__ ErrorTerms(const Q& quantizer, const ScaleMap& map, const Statistics* statistics,
                        std::int64_t scale)
      : quantizer_(quantizer),
        scale_(static_cast<const C*>(map.scale)[scale]),
        zero_point_(map.zero_point == nullptr ? 0 : map.zero_point[scale]) {
    const double amax = statistics[scale].amax();
    per_amax_ = 1.0 / amax;
    per_rounding_ = 1.0 / scalar::rounding_unit(Q::kFormat, scale_, amax);
  }

  __device__ void add_to(ChunkErrors& sum, C x) const {
    if (!scalar::is_finite(x)) return;
    const auto y = scalar::fake_quantize_element(quantizer_, x, scale_, zero_point_);
    const double error = static_cast<double>(x) - static_cast<double>(y.value);
    const unsigned long long term =
        scalar::squared_term(error, y.clipped ? per_amax_ : per_rounding_);
    sum.counts += y.clipped ? (1u << 16) + 1 : 1;
    (y.clipped ? sum.clipping : sum.rounding) += term;
    sum.signal += scalar::squared_term(static_cast<double>(x), per_amax_);
  }

 private:
  Q quantizer_;
  C scale_;
  std::int32_t zero_point_;
  double per_amax_;
  double per_rounding_;
};

/// The sum over a warp whose lanes have seen a chunk, in all lanes.
__device__ inline ChunkErrors warp_sum(ChunkErrors part) {
#pragma unroll
  for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    part.counts += __shfl_xor_sync(kWholeWarp, part.counts, distance);
    part.rounding += __shfl_xor_sync(kWholeWarp, part.rounding, distance);
    part.clipping += __shfl_xor_sync(kWholeWarp, part.clipping, distance);
    part.signal += __shfl_xor_sync(kWholeWarp, part.signal, distance);
  }
  return part;
}

__device__ inline void atomic_add(QuantizationError* sum, const ChunkErrors& part) {
  const auto word = [](auto& number) { return reinterpret_cast<unsigned long long*>(&number); };
  const auto add = [&](SquaredSum& squares, unsigned long long terms) {
    atomic_add_wide(word(squares.high), word(squares.low), terms);
  };
  atomicAdd(word(sum->count), static_cast<unsigned long long>(part.counts & 0xffffu));
  if (part.counts >> 16 != 0) {
    atomicAdd(word(sum->clipped), static_cast<unsigned long long>(part.counts >> 16));
  }
  add(sum->rounding, part.rounding);
  add(sum->clipping, part.clipping);
  add(sum->signal, part.signal);
}

__global__ void quantization_error_start_kernel(std::int64_t num_scales,
                                                QuantizationError* result) {
  for_each_index(num_scales, [&](std::int64_t scale) { result[scale] = QuantizationError{}; });
}

template <typename T, typename Q>
__global__ void quantization_error_kernel(ScaleTerms terms, Q quantizer, const void* x,
                                          const Statistics* statistics, QuantizationError* result) {
  constexpr int kInFlight = kElementsInFlight<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  for_each_chunk(terms, [&](const ScaleChunk& chunk) {
    const ErrorTerms<Q, scalar::ComputeType<T>> errors(quantizer, terms.map, statistics,
                                                       chunk.scale);
    ChunkErrors sum;
    T values[kInFlight]{};
    for_each_term<kInFlight, kWarpThreads>(
        ChunkCursor(terms, chunk), lane, chunk.length,
        [&](int i, std::int64_t element) { values[i] = load_element<T>(x, element); },
        [&](int i, std::int64_t) { errors.add_to(sum, scalar::load_compute(values[i])); });
    sum = warp_sum(sum);
    if (lane == 0) atomic_add(&result[chunk.scale], sum);
  });
}

template <typename T, typename Q>
__global__ void quantization_error_strip_kernel(ScaleTerms terms, Q quantizer, const void* x,
                                                const Statistics* statistics,
                                                QuantizationError* result) {
  constexpr int kInFlight = kElementsInFlight<T>;
  for_each_strip(terms, [&](const StripColumn& column) {
    if (column.first_row >= column.num_rows) return;
    const ErrorTerms<Q, scalar::ComputeType<T>> errors(quantizer, terms.map, statistics,
                                                       column.scale);
    ChunkErrors sum;
    T values[kInFlight]{};
    for_each_term<kInFlight, kStripPhases>(
        StepCursor(terms, column), column.first_row, column.num_rows,
        [&](int i, std::int64_t element) { values[i] = load_element<T>(x, element); },
        [&](int i, std::int64_t) { errors.add_to(sum, scalar::load_compute(values[i])); });
    atomic_add(&result[column.scale], sum);
  });
}

}  // namespace cuqat::gpu
