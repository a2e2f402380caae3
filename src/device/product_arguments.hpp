// What products of codes and of numbers share on the device: checks, and types in the words of the
// launchers.
#pragma once

#include <cstdint>
#include <string_view>

#include "device/arguments.hpp"
#include "products.hpp"

namespace cuqat::detail {

gpu::NumberType number_type(DType dtype);
gpu::NumberType number_type(Format format);

/// An operand's codes, with `rows` rows.
void check_codes(std::string_view name, DeviceSpan<const std::uint8_t> codes, std::int64_t rows,
                 std::int64_t k, const DeviceContext& context);

/// All of the context's, if it is enough for the smallest pieces. `y` is that of int8_gemm, or
/// null.
gpu::Scratch check_scratch(const gpu::CodeProduct& product, const std::int32_t* y,
                           const DeviceContext& context);

/// No y.
inline bool is_empty(const GemmShape& shape) { return shape.m == 0 || shape.n == 0; }

}  // namespace cuqat::detail
