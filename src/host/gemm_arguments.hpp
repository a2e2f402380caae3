// Checks that products share, on the host and on the device.
#pragma once

#include <cstdint>
#include <string>

#include "cuqat/gemm.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::detail {

/// No negative extent, and matrices that can exist.
void check_gemm_shape(const GemmShape& shape);

/// A matrix as messages name it.
struct NamedMatrix {
  std::string name;
  ConstTensorView view;
};

/// Matrices that fit together, y apart from a and b. The shape of op(a) op(b).
GemmShape check_gemm(const NamedMatrix& a, Transpose of_a, const NamedMatrix& b, Transpose of_b,
                     ConstTensorView y);

/// One number for each output in the compute type of y, or none; apart from y.
void check_bias(ConstTensorView bias, std::int64_t n, ConstTensorView y);

}  // namespace cuqat::detail
