#include "cpu/cpu_backend.hpp"

#include <array>
#include <cstddef>

#include "cpu/operations.hpp"

namespace cuqat::cpu {
namespace {

using KernelsOf = const Kernels& (*)() noexcept;

/// The entries of a table have no room for the kernels, so each instruction set gets entries of its
/// own that pass its kernels on.
template <KernelsOf kKernels>
constexpr detail::OperationTable make_table(const char* instruction_set) {
  using detail::ScaledTensor;
  return {
      .name = "cpu",
      .instruction_set = instruction_set,
      .quantize = [](const ScaledTensor& tensor, const void* x, std::uint8_t* codes,
                     CodeLayout layout) { quantize(kKernels(), tensor, x, codes, layout); },
      .dequantize = [](const ScaledTensor& tensor, const std::uint8_t* codes, CodeLayout layout,
                       void* y) { dequantize(kKernels(), tensor, codes, layout, y); },
      .fake_quantize =
          [](const ScaledTensor& tensor, const void* x, void* y, std::uint8_t* clip_mask) {
            fake_quantize(kKernels(), tensor, x, y, clip_mask);
          },
      .fake_quantize_backward =
          [](const ScaledTensor& tensor, const void* dy, const void* x, void* dx) {
            fake_quantize_backward(kKernels(), tensor, dy, x, dx);
          },
      .fake_quantize_backward_from_mask =
          [](DType dtype, std::int64_t count, const void* dy, const std::uint8_t* clip_mask,
             void* dx, int num_threads) {
            fake_quantize_backward_from_mask(kKernels(), dtype, count, dy, clip_mask, dx,
                                             num_threads);
          },
      .learned_scale_backward =
          [](const ScaledTensor& tensor, const void* dy, const void* x, void* dx,
             const double* gradient_scale, double* dscale, double* dzero_point) {
            learned_scale_backward(kKernels(), tensor, dy, x, dx, gradient_scale, dscale,
                                   dzero_point);
          },
      .statistics = [](const ScaledTensor& tensor, const void* x,
                       Statistics* result) { statistics(kKernels(), tensor, x, result); },
      .quantization_error =
          [](const ScaledTensor& tensor, const void* x, const double* amax,
             QuantizationError* result) {
            quantization_error(kKernels(), tensor, x, amax, result);
          },
      .accumulate_key_histogram =
          [](DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
             int num_threads) {
            accumulate_key_histogram(kKernels(), dtype, count, x, counts, num_threads);
          },
      .accumulate_linear_histogram =
          [](DType dtype, std::int64_t count, const void* x, double amax, BinRange range,
             std::span<std::uint64_t> counts, int num_threads) {
            accumulate_linear_histogram(kKernels(), dtype, count, x, amax, range, counts,
                                        num_threads);
          },
      .order_statistics =
          [](std::span<const ConstTensorView> batches, OrderBy order,
             std::span<const std::int64_t> ranks, double* result, int num_threads) {
            order_statistics(kKernels(), batches, order, ranks, result, num_threads);
          },
      .quantize_transposed =
          [](const ScaledTensor& tensor, const void* x, std::uint8_t* codes,
             std::uint8_t* codes_transposed) {
            quantize_transposed(kKernels(), tensor, x, codes, codes_transposed);
          },
      .scale_elements = [](const ScaledTensor& tensor, const void* x, void* y,
                           bool divides) { scale_elements(kKernels(), tensor, x, y, divides); },
      .product_error = [](const detail::ProductError& products, double* error,
                          double* signal) { product_error(kKernels(), products, error, signal); },
      .int8_gemm = [](const detail::Int8Product& product,
                      std::int32_t* result) { int8_gemm(kKernels(), product, result); },
      .int8_linear = [](const detail::Int8Linear& linear,
                        void* y) { int8_linear(kKernels(), linear, y); },
      .int8_linear_codes =
          [](const detail::Int8Linear& linear, const ScaledTensor& y, std::uint8_t* codes) {
            int8_linear_codes(kKernels(), linear, y, codes);
          },
      .fp8_linear = [](const detail::Fp8Linear& linear,
                       void* y) { fp8_linear(kKernels(), linear, y); },
      .gemm = [](const detail::RealProduct& product, void* y) { gemm(kKernels(), product, y); },
  };
}

constexpr detail::OperationTable kBaselineTable = make_table<baseline::kernels>("baseline");
#if defined(CUQAT_HAS_X86_KERNELS)
constexpr detail::OperationTable kV3Table = make_table<v3::kernels>("x86-64-v3");
constexpr detail::OperationTable kV4Table = make_table<v4::kernels>("x86-64-v4");
#endif

struct UsableTables {
  std::array<const detail::OperationTable*, 3> table{};
  std::size_t count = 0;
};

const UsableTables& usable_tables() noexcept {
  static const UsableTables kTables = [] {
    UsableTables tables;
    for (const auto set :
         {InstructionSet::kBaseline, InstructionSet::kX86V3, InstructionSet::kX86V4}) {
      if (is_usable(set)) tables.table[tables.count++] = &operations_for(set);
    }
    return tables;
  }();
  return kTables;
}

}  // namespace

bool is_usable(InstructionSet set) noexcept {
#if defined(CUQAT_HAS_X86_KERNELS)
  switch (set) {
    case InstructionSet::kBaseline:
      return true;
#if defined(__clang__)  // clang 14 does not know the levels by name
    case InstructionSet::kX86V3:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
             __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
    case InstructionSet::kX86V4:
      return is_usable(InstructionSet::kX86V3) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    case InstructionSet::kX86V3:
      return __builtin_cpu_supports("x86-64-v3");
    case InstructionSet::kX86V4:
      return __builtin_cpu_supports("x86-64-v4");
#endif
  }
  return false;
#else
  return set == InstructionSet::kBaseline;
#endif
}

const detail::OperationTable& operations_for(InstructionSet set) noexcept {
#if defined(CUQAT_HAS_X86_KERNELS)
  if (set == InstructionSet::kX86V3) return kV3Table;
  if (set == InstructionSet::kX86V4) return kV4Table;
#else
  static_cast<void>(set);
#endif
  return kBaselineTable;
}

std::span<const detail::OperationTable* const> all_instruction_sets() noexcept {
  const UsableTables& tables = usable_tables();
  return {tables.table.data(), tables.count};
}

const detail::OperationTable& operations() noexcept {
  const UsableTables& tables = usable_tables();
  return *tables.table[tables.count - 1];
}

}  // namespace cuqat::cpu
