// The straight-through gradient together with those of a learned scale and zero point, summed in
// the fixed order of docs/numerics.md.
//
// The first kernel reads the elements. A warp owns a chunk of one scale's terms (scale_terms.cuh),
// a lane is a lane of the definition; in strips a thread owns four lanes of one scale. A warp or a
// block folds its lanes and makes gradients of the sums, or, where a scale has several chunks,
// keeps them in the workspace as the terms of the next round. A round is a launch, in which a warp
// owns 4 096 of these terms.
//
// Bytes moved: 3 sizeof(T) an element, and 32 a chunk where scales have several. Bound by memory on
// paper: two divisions, and a few operations in f64, are done for each element.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "cuqat/scalar/learned_scale.hpp"
#include "pack.cuh"
#include "scale_terms.cuh"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// Of a lane, of a chunk, of a scale.
struct alignas(16) GradientSums {
  double scale = 0.0;
  double zero_point = 0.0;
};

/// What the sums of a scale become.
struct LearnedScaleResult {
  void* dscale;           ///< Of the compute type.
  void* dzero_point;      ///< The same, or null.
  double gradient_scale;  ///< g, where it is given.
  bool is_given;
  double qmax;
};

/// A round's sums, those of a scale one after the other.
struct RoundSums {
  GradientSums* sums;  ///< Null after the last round: they become gradients.
  std::int64_t per_scale;
};

/// Shared memory of a block that reads strips.
struct StripStorage {
  GradientSums sums[kStripPhases][kStripScales];
};

template <typename C>
__device__ inline void write_gradients(const ScaleTerms& terms, const LearnedScaleResult& result,
                                       std::int64_t scale, const GradientSums& sums) {
  double g = result.gradient_scale;
  if (!result.is_given) {
    const std::int64_t count = terms_of(terms, scale).count;
    g = count == 0 ? 0.0 : 1.0 / std::sqrt(static_cast<double>(count) * result.qmax);
  }
  const double value = static_cast<const C*>(terms.map.scale)[scale];
  const auto rounded = [](double number) {
    return scalar::store_compute<C>(static_cast<C>(number));
  };
  static_cast<C*>(result.dscale)[scale] = rounded(g * sums.scale);
  if (result.dzero_point != nullptr) {
    static_cast<C*>(result.dzero_point)[scale] = rounded(-g * value * sums.zero_point);
  }
}

template <typename C>
__device__ inline void put_sums(const ScaleTerms& terms, const LearnedScaleResult& result,
                                const RoundSums& to, std::int64_t scale, std::int64_t chunk,
                                const GradientSums& sums) {
  if (to.sums == nullptr) {
    write_gradients<C>(terms, result, scale, sums);
  } else {
    to.sums[scale * to.per_scale + chunk] = sums;
  }
}

/// The lanes of a warp folded as the definition says, in lane 0.
__device__ inline GradientSums fold_lanes(GradientSums lane) {
#pragma unroll
  for (int half = kWarpThreads / 2; half > 0; half /= 2) {
    lane.scale += __shfl_down_sync(kWholeWarp, lane.scale, half);
    lane.zero_point += __shfl_down_sync(kWholeWarp, lane.zero_point, half);
  }
  return lane;
}

__device__ inline void add(GradientSums& sums, const GradientSums& other) {
  sums.scale += other.scale;
  sums.zero_point += other.zero_point;
}

/// The elements of one scale: adds their terms to a lane and writes their gradients. A scale of 0
/// passes x through, and its terms are 0.
template <typename T, typename Q>
class ElementGradients {
  using C = scalar::ComputeType<T>;

 public:
  __device__ ElementGradients(const ScaleMap& map, std::int64_t scale, const Q& quantizer)
      : quantizer_(quantizer),
        scale_(static_cast<const C*>(map.scale)[scale]),
        zero_point_(map.zero_point == nullptr ? 0 : map.zero_point[scale]) {}

  __device__ void add_to(GradientSums& lane, T x, BitsOf<T> dy, void* dx,
                         std::int64_t element) const {
    const C value = scalar::load_compute(x);
    const C gradient = scalar::load_compute(__builtin_bit_cast(T, dy));
    BitsOf<T> passed = dy;
    if (scale_ != C{0}) {
      lane.scale += static_cast<double>(
          scalar::learned_scale_term(quantizer_, value, gradient, scale_, zero_point_));
      if constexpr (is_integer(Q::kFormat)) {
        lane.zero_point += static_cast<double>(
            scalar::learned_zero_point_term(quantizer_, value, gradient, scale_, zero_point_));
      }
      if (scalar::is_clipped(quantizer_, value, scale_, zero_point_)) passed = 0;
    }
    store_element<BitsOf<T>>(dx, element, passed);
  }

 private:
  const Q& quantizer_;
  C scale_;
  std::int32_t zero_point_;
};

/// Elements of dy and of x that a thread has in flight: 32 bytes.
template <typename T>
inline constexpr int kTermsInFlight = static_cast<int>(16 / sizeof(T));

template <typename T, typename Q>
__global__ void learned_scale_kernel(ScaleTerms terms, Q quantizer, const void* dy, const void* x,
                                     void* dx, RoundSums to, LearnedScaleResult result) {
  constexpr int kInFlight = kTermsInFlight<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  for_each_chunk(terms, [&](const ScaleChunk& chunk) {
    const ElementGradients<T, Q> gradients(terms.map, chunk.scale, quantizer);
    GradientSums sums;
    T values[kInFlight]{};
    BitsOf<T> incoming[kInFlight]{};
    for_each_term<kInFlight, kWarpThreads>(
        ChunkCursor(terms, chunk), lane, chunk.length,
        [&](int i, std::int64_t element) {
          values[i] = load_element<T>(x, element);
          incoming[i] = load_element<BitsOf<T>>(dy, element);
        },
        [&](int i, std::int64_t element) {
          gradients.add_to(sums, values[i], incoming[i], dx, element);
        });
    sums = fold_lanes(sums);
    if (lane == 0) {
      put_sums<scalar::ComputeType<T>>(terms, result, to, chunk.scale, chunk.number, sums);
    }
  });
}

/// Folds the four lanes of each thread and those of the phases, into the first phase's threads. All
/// threads call it.
__device__ inline GradientSums fold_strip(GradientSums (&lanes)[4]) {
  auto& shared = shared_storage<StripStorage>();
  const int phase = static_cast<int>(threadIdx.x) / kStripScales;
  const int column = static_cast<int>(threadIdx.x) % kStripScales;
  // The lanes of a thread are phase, phase + 8, phase + 16 and phase + 24.
  add(lanes[0], lanes[2]);
  add(lanes[1], lanes[3]);
  add(lanes[0], lanes[1]);
  shared.sums[phase][column] = lanes[0];
  __syncthreads();
#pragma unroll
  for (int half = kStripPhases / 2; half > 0; half /= 2) {
    if (phase < half) add(shared.sums[phase][column], shared.sums[phase + half][column]);
    __syncthreads();
  }
  return shared.sums[phase][column];
}

template <typename T, typename Q>
__global__ void learned_scale_strip_kernel(ScaleTerms terms, Q quantizer, const void* dy,
                                           const void* x, void* dx, RoundSums to,
                                           LearnedScaleResult result) {
  constexpr int kLanes = kWarpThreads / kStripPhases;
  for_each_strip(terms, [&](const StripColumn& column) {
    GradientSums lanes[kLanes];
    if (column.num_rows > 0) {
      const ElementGradients<T, Q> gradients(terms.map, column.scale, quantizer);
      T values[kLanes]{};
      BitsOf<T> incoming[kLanes]{};
      for_each_term<kLanes, kStripPhases>(
          StepCursor(terms, column), column.first_row, column.num_rows,
          [&](int i, std::int64_t element) {
            values[i] = load_element<T>(x, element);
            incoming[i] = load_element<BitsOf<T>>(dy, element);
          },
          [&](int i, std::int64_t element) {
            gradients.add_to(lanes[i], values[i], incoming[i], dx, element);
          });
    }
    const GradientSums sums = fold_strip(lanes);
    if (column.first_row == 0 && column.num_rows > 0) {
      put_sums<scalar::ComputeType<T>>(terms, result, to, column.scale, column.chunk, sums);
    }
  });
}

/// A round over sums: a warp owns 4 096 of those of one scale. `shift` says of how many terms each
/// is the sum: 2^shift. Where a tensor has no elements there are none, and the sums are +0.
template <typename C>
__global__ void sum_round_kernel(ScaleTerms terms, Divider by_scales, int shift, RoundSums from,
                                 RoundSums to, LearnedScaleResult result) {
  constexpr int kInFlight = 4;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const std::int64_t warps_per_block = blockDim.x / kWarpThreads;
  std::int64_t item = blockIdx.x * warps_per_block + threadIdx.x / kWarpThreads;
  for (; item < terms.num_scales * to.per_scale; item += gridDim.x * warps_per_block) {
    const std::int64_t chunk = by_scales(item);
    const std::int64_t scale = item - chunk * terms.num_scales;
    const std::int64_t count = terms_of(terms, scale).count;
    const std::int64_t num_sums = count == 0 ? 0 : ((count - 1) >> shift) + 1;
    const std::int64_t left = num_sums - chunk * kChunkTerms;
    if (chunk > 0 && left <= 0) continue;
    const GradientSums* const first = from.sums + scale * from.per_scale + chunk * kChunkTerms;
    GradientSums sums;
    GradientSums loaded[kInFlight];
    for_each_term<kInFlight, kWarpThreads>(
        StepCursor(lane, kWarpThreads), lane, chunk_length(left),
        [&](int i, std::int64_t at) { loaded[i] = first[at]; },
        [&](int i, std::int64_t) { add(sums, loaded[i]); });
    sums = fold_lanes(sums);
    if (lane == 0) put_sums<C>(terms, result, to, scale, chunk, sums);
  }
}

}  // namespace cuqat::gpu
