// Products that several rows make or are compared with.
#pragma once

#include <cuqat/device_gemm.hpp>

#include <memory>

#include "contest.hpp"
#include "repeated_rows.hpp"

namespace cuqat::bench {

/// Of products that are compared with the host's.
inline constexpr std::int64_t kRepeatedRows = 64;

/// y = x w^T of bf16, to bf16: what a layer that is not quantized does.
std::unique_ptr<Operation> bf16_product(const GemmShape& shape);

/// The sums of int8 codes, which cuBLASLt gives as they are.
std::unique_ptr<Operation> int8_product(const GemmShape& shape);

inline RepeatedRows x_of(const GemmShape& shape) { return {shape.m, shape.k, kRepeatedRows, 1}; }
inline RepeatedRows w_of(const GemmShape& shape) { return {shape.n, shape.k, kRepeatedRows, 2}; }

/// Bytes of codes that are read and of outputs that are written.
inline Traffic traffic_of_codes(const GemmShape& shape, std::int64_t output_bytes) {
  return {(shape.m + shape.n) * shape.k, shape.m * shape.n * output_bytes};
}

}  // namespace cuqat::bench
