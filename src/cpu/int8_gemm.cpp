// Products of int8 codes: by oneDNN where the machine multiplies them exactly, else by the loops.
// It does with VNNI: older machines have only instructions that saturate sums of two products.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cpu/onednn.hpp"
#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

/// Sums that are held at once: some rows of outputs, which stay in the caches.
constexpr std::int64_t kSumsAtOnce = std::int64_t{1} << 20;
/// Rows that a thread makes outputs of, or products.
constexpr std::int64_t kRowsOfAThread = 8;

/// [rows, n] = x [rows, k] w [n, k]^T, with rows that lie `stride` codes apart.
struct Block {
  const std::int8_t* x;
  const std::int8_t* w;
  std::int64_t rows;
  std::int64_t n;
  std::int64_t k;
  std::int64_t stride;
};

#if defined(CUQAT_HAS_ONEDNN)
bool multiplies_exactly() {
  static const bool kHasVnni = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_vnni) ==
                               dnnl_cpu_isa_avx512_core_vnni;
  return kHasVnni;
}

void multiply_by_onednn(const Block& block, int num_threads, std::int32_t* sums) {
  const ThreadsOfOneDnn threads(num_threads);
  const std::int32_t no_offset = 0;
  check_onednn(dnnl_gemm_s8s8s32('N', 'T', 'F', block.rows, block.n, block.k, 1.0f, block.x,
                                 block.stride, 0, block.w, block.stride, 0, 0.0f, sums, block.n,
                                 &no_offset));
}
#endif

/// k is at most kMaxInt32Depth.
void multiply(const Kernels& kernels, const Block& block, int num_threads, std::int32_t* sums) {
  if (block.rows == 0 || block.n == 0) return;
  if (block.k == 0) {
    std::fill_n(sums, block.rows * block.n, 0);
    return;
  }
#if defined(CUQAT_HAS_ONEDNN)
  if (are_best(kernels) && multiplies_exactly()) {
    return multiply_by_onednn(block, num_threads, sums);
  }
#endif
  for_each_chunk(
      block.rows, kRowsOfAThread, num_threads, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          for (std::int64_t j = 0; j < block.n; ++j) {
            sums[i * block.n + j] =
                kernels.int8_dot(block.x + i * block.stride, block.w + j * block.stride, block.k);
          }
        }
      });
}

/// Sums over any k, in chunks that int32 holds.
void multiply_deep(const Kernels& kernels, const Block& block, int num_threads,
                   std::vector<std::int32_t>& part, std::int64_t* sums) {
  std::fill_n(sums, block.rows * block.n, 0);
  for (std::int64_t first = 0; first < block.k; first += kMaxInt32Depth) {
    Block chunk = block;
    chunk.x += first;
    chunk.w += first;
    chunk.k = std::min(kMaxInt32Depth, block.k - first);
    multiply(kernels, chunk, num_threads, part.data());
    for (std::int64_t i = 0; i < block.rows * block.n; ++i) {
      sums[i] += part[static_cast<std::size_t>(i)];
    }
  }
}

double scale_of_row(DType dtype, const detail::RowScales& scales, std::int64_t row) {
  const std::int64_t at = scales.one_for_each_row ? row : 0;
  return dtype == DType::kF64 ? static_cast<const double*>(scales.scale)[at]
                              : static_cast<const float*>(scales.scale)[at];
}

std::int32_t zero_point_of_row(const detail::RowScales& scales, std::int64_t row) {
  return scales.zero_point[scales.one_for_each_row ? row : 0];
}

/// Every sum of (x - zx) (w - zw), of codes and zero points of 8 bits, fits into int32.
bool fits_into_int32(const detail::Int8Linear& linear) {
  const GemmShape& shape = linear.product.shape;
  const auto are_codes = [](const detail::RowScales& scales, std::int64_t rows) {
    const std::int32_t* const begin = scales.zero_point;
    return std::all_of(begin, begin + (scales.one_for_each_row ? rows : 1),
                       [](std::int32_t z) { return z >= -128 && z <= 127; });
  };
  return shape.k <= kMaxInt32Depth / 4 && are_codes(linear.x, shape.m) &&
         are_codes(linear.w, shape.n);
}

bool has_zero_points(const detail::RowScales& scales, std::int64_t rows) {
  const std::int32_t* const begin = scales.zero_point;
  return std::any_of(begin, begin + (scales.one_for_each_row ? rows : 1),
                     [](std::int32_t z) { return z != 0; });
}

/// k * zw - sum of w for each output: what zx is multiplied with.
template <typename Sum>
std::vector<Sum> w_terms(const Kernels& kernels, const detail::Int8Linear& linear) {
  const GemmShape& shape = linear.product.shape;
  std::vector<Sum> terms(static_cast<std::size_t>(shape.n));
  if (!has_zero_points(linear.x, shape.m)) return terms;
  for_each_chunk(shape.n, kRowsOfAThread, linear.product.num_threads,
                 [&](std::int64_t first, std::int64_t last) {
                   for (std::int64_t j = first; j < last; ++j) {
                     const std::int64_t sum =
                         kernels.int8_sum(linear.product.w + j * shape.k, shape.k);
                     terms[static_cast<std::size_t>(j)] =
                         static_cast<Sum>(shape.k * zero_point_of_row(linear.w, j) - sum);
                   }
                 });
  return terms;
}

/// write_row(row, its outputs) for every row of y, several at once. `Sum`: int32 where it holds
/// every sum of (x - zx) (w - zw).
template <typename Sum, typename WriteRow>
void linear_in(const Kernels& kernels, const detail::Int8Linear& linear,
               const WriteRow& write_row) {
  constexpr bool kNarrow = std::is_same_v<Sum, std::int32_t>;
  const detail::Int8Product& product = linear.product;
  const GemmShape& shape = product.shape;
  const std::vector<Sum> terms = w_terms<Sum>(kernels, linear);
  const bool needs_x_sums = has_zero_points(linear.w, shape.n);
  const std::int64_t rows_at_once = std::clamp<std::int64_t>(kSumsAtOnce / shape.n, 1, shape.m);
  std::vector<Sum> sums(static_cast<std::size_t>(rows_at_once * shape.n));
  std::vector<std::int32_t> part(kNarrow ? 0 : sums.size());

  for (std::int64_t begin = 0; begin < shape.m; begin += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, shape.m - begin);
    const Block block{product.x + begin * shape.k, product.w, rows, shape.n, shape.k, shape.k};
    if constexpr (kNarrow) {
      multiply(kernels, block, product.num_threads, sums.data());
    } else {
      multiply_deep(kernels, block, product.num_threads, part, sums.data());
    }
    const auto write_rows = [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t row = begin + i;
        const std::int64_t x_sum =
            needs_x_sums ? kernels.int8_sum(product.x + row * shape.k, shape.k) : 0;
        const Int8Outputs outputs{shape.n,
                                  kNarrow,
                                  sums.data() + i * shape.n,
                                  terms.data(),
                                  linear.w.zero_point,
                                  linear.w.scale,
                                  linear.bias,
                                  linear.w.one_for_each_row,
                                  zero_point_of_row(linear.x, row),
                                  x_sum,
                                  scale_of_row(linear.dtype, linear.x, row)};
        write_row(row, outputs);
      }
    };
    for_each_chunk(rows, kRowsOfAThread, product.num_threads, write_rows);
  }
}

template <typename WriteRow>
void for_each_row(const Kernels& kernels, const detail::Int8Linear& linear,
                  const WriteRow& write_row) {
  const GemmShape& shape = linear.product.shape;
  if (shape.m == 0 || shape.n == 0) return;
  if (fits_into_int32(linear)) {
    linear_in<std::int32_t>(kernels, linear, write_row);
  } else {
    linear_in<std::int64_t>(kernels, linear, write_row);
  }
}

/// Some columns of a row of f32.
Int8Outputs columns_of(Int8Outputs outputs, std::int64_t first, std::int64_t count) {
  const auto move = [first](const void*& numbers, std::size_t bytes) {
    numbers = static_cast<const char*>(numbers) + first * static_cast<std::int64_t>(bytes);
  };
  const std::size_t sum_bytes = outputs.narrow ? sizeof(std::int32_t) : sizeof(std::int64_t);
  outputs.n = count;
  move(outputs.sums, sum_bytes);
  move(outputs.w_term, sum_bytes);
  if (outputs.bias != nullptr) move(outputs.bias, sizeof(float));
  if (outputs.w_per_output) {
    move(outputs.w_scale, sizeof(float));
    outputs.w_zero_point += first;
  }
  return outputs;
}

}  // namespace

void int8_gemm(const Kernels& kernels, const detail::Int8Product& product, std::int32_t* result) {
  const GemmShape& shape = product.shape;
  multiply(kernels, {product.x, product.w, shape.m, shape.n, shape.k, shape.k}, product.num_threads,
           result);
}

void int8_linear(const Kernels& kernels, const detail::Int8Linear& linear, void* y) {
  const std::int64_t n = linear.product.shape.n;
  for_each_row(kernels, linear, [&](std::int64_t row, const Int8Outputs& outputs) {
    kernels.int8_outputs(linear.dtype, outputs, element(linear.dtype, y, row * n));
  });
}

void int8_linear_codes(const Kernels& kernels, const detail::Int8Linear& linear,
                       const detail::ScaledTensor& y, std::uint8_t* codes) {
  const std::int64_t n = linear.product.shape.n;
  const TileQuantizer quantizer = tile_quantizer(y);
  const TileScale scale = single_scale(y, 0);
  for_each_row(kernels, linear, [&](std::int64_t row, const Int8Outputs& outputs) {
    alignas(64) float values[kTile];
    for (std::int64_t first = 0; first < n; first += kTile) {
      const std::int64_t count = std::min(kTile, n - first);
      kernels.int8_outputs(DType::kF32, columns_of(outputs, first, count), values);
      kernels.quantize(quantizer, scale, values, codes + row * n + first, count);
    }
  });
}

}  // namespace cuqat::cpu
