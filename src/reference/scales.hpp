// Which scale an element has.
#pragma once

#include <cstdint>

#include "host/operation_table.hpp"

namespace cuqat::reference {

/// Index of the scale of element `index`, from the element's coordinates.
std::int64_t scale_index(const detail::ScaledTensor& tensor, std::int64_t index);

/// A scale in the compute type, and its zero point.
template <typename C>
struct ScaleOf {
  C scale;
  std::int32_t zero_point;
};

template <typename C>
ScaleOf<C> scale_at(const detail::ScaledTensor& tensor, std::int64_t scale) {
  return {static_cast<const C*>(tensor.scale)[scale], tensor.zero_point[scale]};
}

/// Calls `function` with a number of the compute type: what a template deduces C from.
template <typename Function>
void in_compute_type(DType dtype, Function function) {
  if (dtype == DType::kF64) {
    function(double{});
  } else {
    function(float{});
  }
}

}  // namespace cuqat::reference
