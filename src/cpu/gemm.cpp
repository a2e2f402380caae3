// Products of matrices of real numbers: of f32 by oneDNN, of f64, and where there is no oneDNN, by
// the loops.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cpu/onednn.hpp"
#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"
#include "cuqat/scalar/element.hpp"

namespace cuqat::cpu {
namespace {

/// Rows that a thread multiplies.
constexpr std::int64_t kRowsOfAThread = 8;

#if defined(CUQAT_HAS_ONEDNN)
/// y holds the bias in each row, where there is one.
void multiply_by_onednn(const detail::RealProduct& product, float* y) {
  const ThreadsOfOneDnn threads(product.num_threads);
  const auto& [m, n, k] = product.shape;
  const float share_of_y = product.bias != nullptr ? 1.0f : 0.0f;
  check_onednn(dnnl_sgemm(product.a_transposed ? 'T' : 'N', product.b_transposed ? 'T' : 'N', m, n,
                          k, 1.0f, static_cast<const float*>(product.a),
                          product.a_transposed ? m : k, static_cast<const float*>(product.b),
                          product.b_transposed ? k : n, share_of_y, y, n));
}
#endif

template <typename C>
bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % alignof(C) == 0;
}

template <typename C, typename T>
void widen(const void* from, C* to, std::int64_t count, int num_threads) {
  for_each_chunk(count, kChunk, num_threads, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      T value;
      std::memcpy(&value, element(dtype_of<T>, from, i), sizeof(T));
      to[i] = static_cast<C>(scalar::load_compute(value));
    }
  });
}

template <typename C, typename T>
void narrow(const C* from, void* to, std::int64_t count, int num_threads) {
  for_each_chunk(count, kChunk, num_threads, [=](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const T value = scalar::store_compute<T>(static_cast<scalar::ComputeType<T>>(from[i]));
      std::memcpy(element(dtype_of<T>, to, i), &value, sizeof(T));
    }
  });
}

/// The elements of an operand as numbers of the type C: themselves, or a copy of what is narrower
/// or not aligned.
template <typename C>
class Operand {
 public:
  Operand(DType dtype, const void* data, std::int64_t count, int num_threads)
      : data_(static_cast<const C*>(data)) {
    if (dtype == dtype_of<C> && is_aligned<C>(data)) return;
    copy_.resize(static_cast<std::size_t>(count));
    data_ = copy_.data();
    if (dtype == dtype_of<C>) {
      widen<C, C>(data, copy_.data(), count, num_threads);
    } else if (dtype == DType::kBF16) {
      widen<C, bfloat16>(data, copy_.data(), count, num_threads);
    } else {
      widen<C, float16>(data, copy_.data(), count, num_threads);
    }
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  [[nodiscard]] const C* data() const noexcept { return data_; }

 private:
  const C* data_;
  std::vector<C> copy_;
};

/// [rows, columns] as [columns, rows].
template <typename C>
std::vector<C> transposed(const void* matrix, std::int64_t rows, std::int64_t columns,
                          int num_threads) {
  std::vector<C> result(static_cast<std::size_t>(rows * columns));
  for_each_chunk(columns, kRowsOfAThread, num_threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = first; column < last; ++column) {
        result[static_cast<std::size_t>(column * rows + row)] =
            static_cast<const C*>(matrix)[row * columns + column];
      }
    }
  });
  return result;
}

/// Rows of what the sums begin with.
template <typename C>
void fill_rows(const void* bias, std::int64_t rows, std::int64_t columns, C* y) {
  for (std::int64_t row = 0; row < rows; ++row) {
    if (bias == nullptr) {
      std::fill_n(y + row * columns, columns, C{0});
    } else {
      std::copy_n(static_cast<const C*>(bias), columns, y + row * columns);
    }
  }
}

/// By the loops: products added in the order of k.
template <typename C>
void multiply_by_loops(const Kernels& kernels, const detail::RealProduct& product, C* y) {
  constexpr std::int64_t kTileOutputs = 2048 / sizeof(C);  // whose sums stay in the first cache
  const GemmShape& shape = product.shape;
  const int threads = product.num_threads;
  std::vector<C> a_rows;
  std::vector<C> b_rows;
  if (product.a_transposed) a_rows = transposed<C>(product.a, shape.k, shape.m, threads);
  if (product.b_transposed) b_rows = transposed<C>(product.b, shape.n, shape.k, threads);
  const C* const a = product.a_transposed ? a_rows.data() : static_cast<const C*>(product.a);
  const C* const b = product.b_transposed ? b_rows.data() : static_cast<const C*>(product.b);
  for_each_chunk(shape.m, kRowsOfAThread, threads, [&](std::int64_t first, std::int64_t last) {
    C sums[kRowsOfAThread * kTileOutputs];
    for (std::int64_t begin = 0; begin < shape.n; begin += kTileOutputs) {
      const std::int64_t outputs = std::min(kTileOutputs, shape.n - begin);
      const C* const bias =
          product.bias == nullptr ? nullptr : static_cast<const C*>(product.bias) + begin;
      fill_rows(bias, last - first, outputs, sums);
      kernels.product_tile(
          dtype_of<C>, {a + first * shape.k, last - first, shape.k, b + begin, shape.n, outputs},
          sums);
      for (std::int64_t row = first; row < last; ++row) {
        std::copy_n(sums + (row - first) * outputs, outputs, y + row * shape.n + begin);
      }
    }
  });
}

/// a, b, the bias and y are aligned and of the type C.
template <typename C>
void multiply_aligned(const Kernels& kernels, const detail::RealProduct& product, C* y) {
  if (product.shape.m == 0 || product.shape.n == 0) return;
#if defined(CUQAT_HAS_ONEDNN)
  if constexpr (std::is_same_v<C, float>) {
    if (are_best(kernels) && product.shape.k != 0) {
      if (product.bias != nullptr) fill_rows(product.bias, product.shape.m, product.shape.n, y);
      return multiply_by_onednn(product, y);
    }
  }
#endif
  multiply_by_loops<C>(kernels, product, y);
}

template <typename C>
void multiply_real(const Kernels& kernels, const detail::RealProduct& product, void* y) {
  const GemmShape& shape = product.shape;
  const int threads = product.num_threads;
  const std::int64_t outputs = shape.m * shape.n;
  const Operand<C> a(product.dtype, product.a, shape.m * shape.k, threads);
  const Operand<C> b(product.dtype, product.b, shape.k * shape.n, threads);
  const Operand<C> bias(dtype_of<C>, product.bias, product.bias == nullptr ? 0 : shape.n, threads);
  detail::RealProduct aligned = product;
  aligned.bias = bias.data();
  aligned.a = a.data();
  aligned.b = b.data();
  if (product.y_dtype == dtype_of<C> && is_aligned<C>(y)) {
    return multiply_aligned<C>(kernels, aligned, static_cast<C*>(y));
  }
  std::vector<C> sums(static_cast<std::size_t>(outputs));
  multiply_aligned<C>(kernels, aligned, sums.data());
  if (product.y_dtype == dtype_of<C>) {
    narrow<C, C>(sums.data(), y, outputs, threads);
  } else if (product.y_dtype == DType::kBF16) {
    narrow<C, bfloat16>(sums.data(), y, outputs, threads);
  } else {
    narrow<C, float16>(sums.data(), y, outputs, threads);
  }
}

}  // namespace

void gemm(const Kernels& kernels, const detail::RealProduct& product, void* y) {
  if (product.dtype == DType::kF64) {
    multiply_real<double>(kernels, product, y);
  } else {
    multiply_real<float>(kernels, product, y);
  }
}

}  // namespace cuqat::cpu
