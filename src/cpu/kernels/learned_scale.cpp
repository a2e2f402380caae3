// Gradients of a learned scale and zero point, summed in the fixed order of docs/numerics.md.
#include "cuqat/scalar/learned_scale.hpp"
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {
namespace {

/// Elements side by side: their terms, then their gradients.
template <typename T, bool kPerElement, typename Q, typename C>
void terms_loop(const Q q, const Scales<C, kPerElement> scales, const void* dy, const void* x,
                void* dx, std::int64_t n, C* scale_terms, C* zero_terms) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const C value = scalar::load_compute(load<T>(x, i));
    const C scale = scales.scale(i);
    const std::int32_t zero_point = scales.zero_point(i);
    const C gradient = scalar::load_compute(load<T>(dy, i));
    scale_terms[i] = scalar::learned_scale_term(q, value, gradient, scale, zero_point);
    zero_terms[i] = scalar::learned_zero_point_term(q, value, gradient, scale, zero_point);
  }
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const C value = scalar::load_compute(load<T>(x, i));
    const bool clipped = scalar::is_clipped(q, value, scales.scale(i), scales.zero_point(i));
    const auto gradient = load<PatternOf<T>>(dy, i);
    store<PatternOf<T>>(dx, i, clipped ? PatternOf<T>{0} : gradient);
  }
}

/// Folds the lanes of `columns` sums, lane by lane apart: lanes[lane * columns + column].
CUQAT_INLINE void fold_lanes(double* lanes, std::int64_t columns, double* sums) {
  for (std::int64_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half * columns; ++i) lanes[i] += lanes[i + half * columns];
  }
  for (std::int64_t column = 0; column < columns; ++column) sums[column] = lanes[column];
}

/// Adds terms to the lanes, from lane 0 on.
template <typename C>
CUQAT_INLINE void add_to_lanes(const C* terms, std::int64_t n, double* lanes) {
  const std::int64_t whole = n - n % kSumLanes;
  for (std::int64_t i = 0; i < whole; i += kSumLanes) {
    for (std::int64_t lane = 0; lane < kSumLanes; ++lane) {
      lanes[lane] += static_cast<double>(terms[i + lane]);
    }
  }
  for (std::int64_t i = whole; i < n; ++i) lanes[i - whole] += static_cast<double>(terms[i]);
}

}  // namespace

double sum_chunk(const double* terms, std::int64_t n) {
  double lanes[kSumLanes] = {};
  add_to_lanes(terms, n, lanes);
  double sum = 0.0;
  fold_lanes(lanes, 1, &sum);
  return sum;
}

void learned_scale(const TileQuantizer& quantizer, const TileScale& scale, const void* dy,
                   const void* x, void* dx, std::int64_t n, double* dscale, double* dzero_point) {
  // Terms wait in L1 for their addition; a multiple of the lanes.
  constexpr std::int64_t kBlock = 512;
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      using T = typename decltype(type)::Type;
      using C = scalar::ComputeType<T>;
      const Scales<C, false> scales(scale);
      alignas(64) C scale_terms[kBlock];
      alignas(64) C zero_terms[kBlock];
      alignas(64) double scale_lanes[kSumLanes] = {};
      alignas(64) double zero_lanes[kSumLanes] = {};
      for (std::int64_t first = 0; first < n; first += kBlock) {
        const std::int64_t length = n - first < kBlock ? n - first : kBlock;
        terms_loop<T, false>(q, scales, element_address<T>(dy, first), element_address<T>(x, first),
                             element_address<T>(dx, first), length, scale_terms, zero_terms);
        add_to_lanes(scale_terms, length, scale_lanes);
        if (dzero_point != nullptr) add_to_lanes(zero_terms, length, zero_lanes);
      }
      fold_lanes(scale_lanes, 1, dscale);
      if (dzero_point != nullptr) fold_lanes(zero_lanes, 1, dzero_point);
    });
  });
}

void learned_scale_columns(const TileQuantizer& quantizer, const TileScale& scale, const void* dy,
                           const void* x, void* dx, std::int64_t rows, std::int64_t columns,
                           std::int64_t stride, double* dscale, double* dzero_point) {
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      using T = typename decltype(type)::Type;
      using C = scalar::ComputeType<T>;
      const Scales<C, true> scales(scale);
      alignas(64) C scale_terms[kSumColumns];
      alignas(64) C zero_terms[kSumColumns];
      alignas(64) double scale_lanes[kSumLanes * kSumColumns] = {};
      alignas(64) double zero_lanes[kSumLanes * kSumColumns] = {};
      for (std::int64_t row = 0; row < rows; ++row) {
        double* const scale_lane = scale_lanes + row % kSumLanes * columns;
        double* const zero_lane = zero_lanes + row % kSumLanes * columns;
        const std::int64_t at = row * stride;
        terms_loop<T, true>(q, scales, element_address<T>(dy, at), element_address<T>(x, at),
                            element_address<T>(dx, at), columns, scale_terms, zero_terms);
        for (std::int64_t i = 0; i < columns; ++i) {
          scale_lane[i] += static_cast<double>(scale_terms[i]);
          zero_lane[i] += static_cast<double>(zero_terms[i]);
        }
      }
      fold_lanes(scale_lanes, columns, dscale);
      if (dzero_point != nullptr) fold_lanes(zero_lanes, columns, dzero_point);
    });
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
