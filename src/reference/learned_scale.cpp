// Gradients of a learned scale and zero point, summed as docs/numerics.md, "Fixed-order sum", says.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/element.hpp"
#include "reference/number.hpp"
#include "reference/operations.hpp"
#include "reference/scales.hpp"

namespace cuqat::reference {

namespace {

double chunk_sum(std::span<const double> terms) {
  std::array<double, 32> lane{};
  for (std::size_t i = 0; i < terms.size(); ++i) lane[i % 32] += terms[i];
  for (const std::size_t width : {16u, 8u, 4u, 2u, 1u}) {
    for (std::size_t l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

double fixed_order_sum(std::span<const double> terms) {
  if (terms.empty()) return 0.0;
  constexpr std::size_t kChunk = 4096;
  std::vector<double> sums;
  for (std::size_t begin = 0; begin < terms.size(); begin += kChunk) {
    sums.push_back(chunk_sum(terms.subspan(begin, std::min(kChunk, terms.size() - begin))));
  }
  return sums.size() == 1 ? sums.front() : fixed_order_sum(sums);
}

/// What one element adds to the two sums of its scale.
struct Terms {
  double scale = 0.0;
  double zero_point = 0.0;
};

template <typename C>
Terms terms_of(const Quantizer& quantizer, C dy, C x, const ScaleOf<C>& of) {
  if (std::isnan(x)) return {};
  const Outcome<C> outcome = quantize_element(quantizer, x, of.scale, of.zero_point);
  C slope{};
  if (!outcome.clipped) {
    const C error = outcome.value - x;
    slope = error / of.scale;
  } else {
    const int limit = outcome.below ? qmin(quantizer) : qmax(quantizer);
    slope = static_cast<C>(subtract(limit, of.zero_point));
  }
  const C product = dy * slope;
  return {product, outcome.clipped ? double{dy} : 0.0};
}

/// In the compute type; which NaN a machine makes is not part of the result.
template <typename C>
double rounded(double value) {
  const auto narrow = static_cast<C>(value);
  return std::isnan(narrow) ? std::numeric_limits<double>::quiet_NaN() : double{narrow};
}

template <typename C>
void scale_gradients(const detail::ScaledTensor& tensor, const void* dy, const void* x,
                     const double* gradient_scale, double* dscale, double* dzero_point) {
  const auto num_scales = static_cast<std::size_t>(tensor.num_scales);
  std::vector<std::vector<double>> scale_terms(num_scales);
  std::vector<std::vector<double>> zero_point_terms(num_scales);
  for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
    const std::int64_t index = scale_index(tensor, i);
    const Terms terms =
        terms_of(tensor.quantizer, static_cast<C>(load(tensor.dtype, dy, i)),
                 static_cast<C>(load(tensor.dtype, x, i)), scale_at<C>(tensor, index));
    scale_terms[static_cast<std::size_t>(index)].push_back(terms.scale);
    zero_point_terms[static_cast<std::size_t>(index)].push_back(terms.zero_point);
  }
  for (std::size_t i = 0; i < num_scales; ++i) {
    const double g = gradient_scale[i];
    dscale[i] = rounded<C>(g * fixed_order_sum(scale_terms[i]));
    if (dzero_point == nullptr) continue;
    const double scale = scale_at<C>(tensor, static_cast<std::int64_t>(i)).scale;
    dzero_point[i] = rounded<C>(-g * scale * fixed_order_sum(zero_point_terms[i]));
  }
}

}  // namespace

void learned_scale_backward(const detail::ScaledTensor& tensor, const void* dy, const void* x,
                            void* dx, const double* gradient_scale, double* dscale,
                            double* dzero_point) {
  // Before dx is written: it may be dy.
  in_compute_type(tensor.dtype, [&](auto zero) {
    scale_gradients<decltype(zero)>(tensor, dy, x, gradient_scale, dscale, dzero_point);
  });
  fake_quantize_backward(tensor, dy, x, dx);
}

}  // namespace cuqat::reference
