// Checks that products share, on the host and on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuqat/gemm.hpp"
#include "cuqat/tensor_view.hpp"
#include "host/arguments.hpp"

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

/// What the codes of y are made with: integers, one scale.
void check_output_quantizer(const Quantizer& quantizer, const Granularity& granularity);

/// A row of ones, whose product with a matrix is the sums of its columns.
std::vector<std::byte> ones_of(DType dtype, std::int64_t count);

/// One number for each output in the compute type of y, or none; apart from the outputs.
void check_bias(ConstTensorView bias, std::int64_t n, DType y_dtype, const Region& outputs);

}  // namespace cuqat::detail
