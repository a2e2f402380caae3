// Quantize, dequantize, fake quantize, and the straight-through gradients.
#include <algorithm>
#include <cstring>

#include "reference/element.hpp"
#include "reference/number.hpp"
#include "reference/operations.hpp"
#include "reference/scales.hpp"

namespace cuqat::reference {

namespace {

void put_code(std::uint8_t* codes, std::int64_t index, CodeLayout layout, std::uint8_t code) {
  if (layout == CodeLayout::kBytes) {
    codes[index] = code;
  } else if (index % 2 == 0) {
    codes[index / 2] = static_cast<std::uint8_t>(code & 0xf);
  } else {
    codes[index / 2] = static_cast<std::uint8_t>(codes[index / 2] | (code & 0xf) << 4);
  }
}

std::uint8_t get_code(const std::uint8_t* codes, std::int64_t index, CodeLayout layout) {
  if (layout == CodeLayout::kBytes) return codes[index];
  const int nibble = (index % 2 == 0 ? codes[index / 2] : codes[index / 2] >> 4) & 0xf;
  return static_cast<std::uint8_t>(nibble < 8 ? nibble : nibble - 16);
}

template <typename C>
Outcome<C> outcome_at(const detail::ScaledTensor& tensor, const void* x, std::int64_t index) {
  const ScaleOf<C> of = scale_at<C>(tensor, scale_index(tensor, index));
  return quantize_element(tensor.quantizer, static_cast<C>(load(tensor.dtype, x, index)), of.scale,
                          of.zero_point);
}

/// dy's bits, or +0: all dtypes spell it with zero bits.
void pass_or_zero(DType dtype, const void* dy, void* dx, std::int64_t index, bool clipped) {
  const std::size_t bytes = dtype_bytes(dtype);
  const std::size_t offset = static_cast<std::size_t>(index) * bytes;
  unsigned char element[sizeof(double)] = {};
  if (!clipped) std::memcpy(element, static_cast<const unsigned char*>(dy) + offset, bytes);
  std::memcpy(static_cast<unsigned char*>(dx) + offset, element, bytes);
}

}  // namespace

void quantize(const detail::ScaledTensor& tensor, const void* x, std::uint8_t* codes,
              CodeLayout layout) {
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
      put_code(codes, i, layout, outcome_at<C>(tensor, x, i).code);
    }
  });
}

void dequantize(const detail::ScaledTensor& tensor, const std::uint8_t* codes, CodeLayout layout,
                void* y) {
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
      const ScaleOf<C> of = scale_at<C>(tensor, scale_index(tensor, i));
      store(tensor.dtype, y, i,
            dequantize_element(tensor.quantizer, get_code(codes, i, layout), of.scale,
                               of.zero_point));
    }
  });
}

void fake_quantize(const detail::ScaledTensor& tensor, const void* x, void* y,
                   std::uint8_t* clip_mask) {
  const std::int64_t count = tensor.shape.count();
  if (clip_mask != nullptr) std::fill_n(clip_mask, (count + 7) / 8, std::uint8_t{0});
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t i = 0; i < count; ++i) {
      const Outcome<C> outcome = outcome_at<C>(tensor, x, i);
      store(tensor.dtype, y, i, outcome.value);
      if (clip_mask != nullptr && outcome.clipped) {
        clip_mask[i / 8] = static_cast<std::uint8_t>(clip_mask[i / 8] | 1 << (i % 8));
      }
    }
  });
}

void fake_quantize_backward(const detail::ScaledTensor& tensor, const void* dy, const void* x,
                            void* dx) {
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
      pass_or_zero(tensor.dtype, dy, dx, i, outcome_at<C>(tensor, x, i).clipped);
    }
  });
}

void fake_quantize_backward_from_mask(DType dtype, std::int64_t count, const void* dy,
                                      const std::uint8_t* clip_mask, void* dx, int) {
  for (std::int64_t i = 0; i < count; ++i) {
    pass_or_zero(dtype, dy, dx, i, (clip_mask[i / 8] >> (i % 8) & 1) != 0);
  }
}

void quantize_transposed(const detail::ScaledTensor& tensor, const void* x, std::uint8_t* codes,
                         std::uint8_t* codes_transposed) {
  const std::int64_t rows = tensor.shape[0];
  const std::int64_t columns = tensor.shape[1];
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        const std::int64_t i = row * columns + column;
        const std::uint8_t code = outcome_at<C>(tensor, x, i).code;
        if (codes != nullptr) codes[i] = code;
        codes_transposed[column * rows + row] = code;
      }
    }
  });
}

}  // namespace cuqat::reference
