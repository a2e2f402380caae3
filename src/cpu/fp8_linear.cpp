// Products of FP8 codes: as products of f32 numbers, which hold every one of them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"
#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/fp8_codec.hpp"

namespace cuqat::cpu {
namespace {

/// Numbers of x, or of t, that are held at once.
constexpr std::int64_t kNumbersAtOnce = std::int64_t{1} << 18;
/// Rows that a thread makes outputs of.
constexpr std::int64_t kRowsOfAThread = 8;

std::array<float, 256> values_of(Format format) {
  std::array<float, 256> values;
  for (int code = 0; code < 256; ++code) {
    values[static_cast<std::size_t>(code)] =
        format == Format::kE4M3
            ? scalar::fp8_decode<Format::kE4M3, float>(static_cast<std::uint8_t>(code))
            : scalar::fp8_decode<Format::kE5M2, float>(static_cast<std::uint8_t>(code));
  }
  return values;
}

void decode(const std::array<float, 256>& values, const std::uint8_t* codes, std::int64_t count,
            int num_threads, float* numbers) {
  for_each_chunk(count, kChunk, num_threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) numbers[i] = values[codes[i]];
  });
}

float scale_of_row(const detail::RowScales& scales, std::int64_t row) {
  return static_cast<const float*>(scales.scale)[scales.one_for_each_row ? row : 0];
}

/// A row of y from its row of t.
template <typename T>
void write_row(const detail::Fp8Linear& linear, std::int64_t row, const float* t, void* y) {
  const std::int64_t n = linear.shape.n;
  const float x_scale = scale_of_row(linear.x_scales, row);
  for (std::int64_t j = 0; j < n; ++j) {
    float value = x_scale * scale_of_row(linear.w_scales, j) * t[j];
    if (linear.bias != nullptr) {
      float bias;
      std::memcpy(&bias, element(DType::kF32, linear.bias, j), sizeof(bias));
      value += bias;
    }
    const T rounded = scalar::store_compute<T>(value);
    std::memcpy(element(linear.dtype, y, row * n + j), &rounded, sizeof(T));
  }
}

void write_rows(const detail::Fp8Linear& linear, std::int64_t begin, std::int64_t rows,
                const std::vector<float>& t, void* y) {
  for_each_chunk(rows, kRowsOfAThread, linear.num_threads,
                 [&](std::int64_t first, std::int64_t last) {
                   for (std::int64_t i = first; i < last; ++i) {
                     const float* const row = t.data() + i * linear.shape.n;
                     if (linear.dtype == DType::kBF16) {
                       write_row<bfloat16>(linear, begin + i, row, y);
                     } else if (linear.dtype == DType::kF16) {
                       write_row<float16>(linear, begin + i, row, y);
                     } else {
                       write_row<float>(linear, begin + i, row, y);
                     }
                   }
                 });
}

}  // namespace

void fp8_linear(const Kernels& kernels, const detail::Fp8Linear& linear, void* y) {
  const auto& [m, n, k] = linear.shape;
  if (m == 0 || n == 0) return;
  const std::int64_t rows_at_once = std::clamp<std::int64_t>(kNumbersAtOnce / std::max(n, k), 1, m);
  std::vector<float> w(static_cast<std::size_t>(n * k));
  std::vector<float> x(static_cast<std::size_t>(rows_at_once * k));
  std::vector<float> t(static_cast<std::size_t>(rows_at_once * n));
  decode(values_of(linear.w_format), linear.w, n * k, linear.num_threads, w.data());
  const std::array<float, 256> x_values = values_of(linear.x_format);
  for (std::int64_t begin = 0; begin < m; begin += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, m - begin);
    decode(x_values, linear.x + begin * k, rows * k, linear.num_threads, x.data());
    gemm(kernels,
         {x.data(),
          false,
          w.data(),
          true,
          {rows, n, k},
          DType::kF32,
          DType::kF32,
          nullptr,
          linear.num_threads},
         t.data());
    write_rows(linear, begin, rows, t, y);
  }
}

}  // namespace cuqat::cpu
