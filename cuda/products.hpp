// Products of matrices: what multiplies them, and the launchers that are made of it. Arguments have
// been checked.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <vector>

#include "cuqat/format.hpp"
#include "cuqat/gemm.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

/// To a multiple of `unit`.
constexpr std::int64_t round_up(std::int64_t number, std::int64_t unit) {
  return (number + unit - 1) / unit * unit;
}

/// What matrices are made of.
enum class NumberType : std::uint8_t { kF32, kF64, kF16, kBF16, kInt8, kInt32, kE4M3, kE5M2 };

/// An operand, row-major: rows, as they lie in memory, are `stride` numbers apart.
struct Operand {
  NumberType type;
  const void* data;
  std::int64_t stride;
  bool transposed;
};

/// y = op(a) op(b). No extent is 0.
struct MatrixProduct {
  GemmShape shape;
  Operand a;
  Operand b;
  NumberType y_type;
  void* y;
  std::int64_t y_stride;
};

/// cuBLASLt on the device that was current when it was made, and how each kind of product that it
/// has seen is best made. What it knows grows by a few hundred bytes a kind, up to a limit, past
/// which it forgets what was used least recently. It also forgets what fails.
class Multiplier {
 public:
  struct Options {
    void* workspace;  ///< Of the device, for one product at a time.
    std::size_t workspace_bytes;
    bool tunes;  ///< Tries what there is to make a product of integers, the first time.
    std::uint64_t device_kind;  ///< Devices of one kind make products alike.
  };

  /// @throws BackendUnavailable where there is no cuBLASLt.
  Multiplier(const Options& options, std::source_location operation);
  ~Multiplier();
  Multiplier(const Multiplier&) = delete;
  Multiplier& operator=(const Multiplier&) = delete;

  /// Puts the product on the stream. Waits where it tunes, which it does not while the stream is
  /// captured.
  void multiply(const MatrixProduct& product, const LaunchTarget& target);

  /// What it knows of kinds of products, and what another one knew.
  [[nodiscard]] std::vector<std::byte> save() const;
  /// @throws DataError for bytes that are damaged, or of another cuBLASLt or kind of device.
  void restore(std::span<const std::byte> bytes, std::source_location operation);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The scales of an operand's rows: one, or one for each.
struct RowScales {
  const void* scale;               ///< Of the compute type of y.
  const std::int32_t* zero_point;  ///< Null: all 0.
  bool one_for_each_row;
};

/// Codes, a byte each: x [m, k] of the one type, w [n, k] of the other.
struct CodeProduct {
  GemmShape shape;
  const std::uint8_t* x;
  const std::uint8_t* w;
  NumberType x_type;
  NumberType w_type;
};

/// What makes codes of y: integers, one scale.
struct CodesOfOutputs {
  Quantizer quantizer;
  const void* scale;               ///< f32; null: y is not made codes of.
  const std::int32_t* zero_point;  ///< Null: 0.
};

struct LinearLayer {
  CodeProduct product;
  RowScales x;
  RowScales w;
  const std::int64_t* w_sums;  ///< Or null.
  const void* bias;            ///< Of the compute type of y, or null.
  DType dtype;                 ///< Of y. Where it becomes codes: f32.
  CodesOfOutputs codes;
  void* y;  ///< Or its codes, a byte each.
};

/// Memory of the device, aligned as cudaMalloc aligns.
struct Scratch {
  void* data;
  std::size_t bytes;
};

/// With which a product of int8 or FP8 codes is made in one piece, wherever it lies.
std::size_t product_scratch_bytes(const GemmShape& shape);
/// What the smallest pieces of it take, where its operands lie there. `y` is that of int8_gemm, or
/// null.
std::size_t least_product_scratch_bytes(const CodeProduct& product, const std::int32_t* y);

/// k is at most kMaxInt32Depth. The scratch memory is at least the least.
void launch_int8_gemm(const CodeProduct& product, std::int32_t* y, const Scratch& scratch,
                      Multiplier& multiplier, const LaunchTarget& target);
/// Of int8, any k; of FP8 y is not f64 and nothing has a zero point. The scratch memory is at least
/// the least.
void launch_linear(const LinearLayer& layer, const Scratch& scratch, Multiplier& multiplier,
                   const LaunchTarget& target);

void launch_code_sums(std::int64_t rows, std::int64_t columns, const std::uint8_t* codes,
                      std::int64_t* sums, const LaunchTarget& target);

}  // namespace cuqat::gpu
