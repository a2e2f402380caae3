// Short ways to call a backend's table on vectors, with one scale.
#pragma once

#include <cstdint>
#include <vector>

#include "support/backends.hpp"
#include "support/elements.hpp"

namespace cuqat::test {

/// A tensor of rank 1 with one scale. Not to be copied: it points into itself.
class Flat {
 public:
  Flat(DType dtype, std::int64_t count, const Quantizer& quantizer, double scale,
       std::int32_t zero_point, int num_threads = 1)
      : scale_(scale), narrow_scale_(static_cast<float>(scale)), zero_point_(zero_point) {
    tensor_.dtype = dtype;
    tensor_.shape = Shape{count};
    tensor_.quantizer = quantizer;
    tensor_.scale = dtype == DType::kF64 ? static_cast<const void*>(&scale_) : &narrow_scale_;
    tensor_.zero_point = &zero_point_;
    tensor_.num_threads = num_threads;
  }
  Flat(const Flat&) = delete;
  Flat& operator=(const Flat&) = delete;

  [[nodiscard]] const detail::ScaledTensor& operator*() const noexcept { return tensor_; }

 private:
  double scale_;
  float narrow_scale_;
  std::int32_t zero_point_;
  detail::ScaledTensor tensor_;
};

struct FakeQuantized {
  std::vector<double> y;
  std::vector<bool> clipped;
};

inline FakeQuantized fake_quantize(Table table, DType dtype, const Quantizer& quantizer,
                                   double scale, std::int32_t zero_point,
                                   const std::vector<double>& x) {
  const Flat tensor(dtype, static_cast<std::int64_t>(x.size()), quantizer, scale, zero_point);
  const Bytes input = to_bytes(dtype, x);
  Bytes output(input.size());
  std::vector<std::uint8_t> mask((x.size() + 7) / 8, 0xff);
  table->fake_quantize(*tensor, input.data(), output.data(), mask.data());
  FakeQuantized result{to_doubles(dtype, output), {}};
  for (std::size_t i = 0; i < x.size(); ++i)
    result.clipped.push_back((mask[i / 8] >> i % 8 & 1) != 0);
  return result;
}

inline std::vector<std::uint8_t> quantize(Table table, DType dtype, const Quantizer& quantizer,
                                          double scale, std::int32_t zero_point,
                                          const std::vector<double>& x,
                                          CodeLayout layout = CodeLayout::kBytes) {
  const Flat tensor(dtype, static_cast<std::int64_t>(x.size()), quantizer, scale, zero_point);
  const Bytes input = to_bytes(dtype, x);
  std::vector<std::uint8_t> codes(layout == CodeLayout::kBytes ? x.size() : (x.size() + 1) / 2);
  table->quantize(*tensor, input.data(), codes.data(), layout);
  return codes;
}

inline std::vector<double> dequantize(Table table, DType dtype, const Quantizer& quantizer,
                                      double scale, std::int32_t zero_point,
                                      const std::vector<std::uint8_t>& codes, std::size_t count,
                                      CodeLayout layout = CodeLayout::kBytes) {
  const Flat tensor(dtype, static_cast<std::int64_t>(count), quantizer, scale, zero_point);
  Bytes output(count * dtype_bytes(dtype));
  table->dequantize(*tensor, codes.data(), layout, output.data());
  return to_doubles(dtype, output);
}

struct Gradients {
  std::vector<double> dx;
  double dscale = 0;
  double dzero_point = 0;
};

inline Gradients learned_scale(Table table, const Flat& tensor, const std::vector<double>& x,
                               const std::vector<double>& dy, double gradient_scale) {
  const DType dtype = (*tensor).dtype;
  const Bytes input = to_bytes(dtype, x);
  const Bytes gradient = to_bytes(dtype, dy);
  Bytes dx(input.size());
  Gradients result;
  const bool integer = is_integer((*tensor).quantizer.format);
  table->learned_scale_backward(*tensor, gradient.data(), input.data(), dx.data(), &gradient_scale,
                                &result.dscale, integer ? &result.dzero_point : nullptr);
  result.dx = to_doubles(dtype, dx);
  return result;
}

/// The statistics of a whole tensor.
inline Statistics statistics(Table table, DType dtype, const Bytes& x, int num_threads = 1) {
  detail::ScaledTensor tensor;
  tensor.dtype = dtype;
  tensor.shape = Shape{static_cast<std::int64_t>(x.size() / dtype_bytes(dtype))};
  tensor.num_threads = num_threads;
  Statistics result;
  table->statistics(tensor, x.data(), &result);
  return result;
}

inline std::vector<double> order_statistics(Table table, DType dtype, const Bytes& x, OrderBy order,
                                            const std::vector<std::int64_t>& ranks,
                                            int num_threads = 1) {
  const ConstTensorView view(x.data(), dtype,
                             Shape{static_cast<std::int64_t>(x.size() / dtype_bytes(dtype))});
  std::vector<double> result(ranks.size());
  table->order_statistics({&view, 1}, order, ranks, result.data(), num_threads);
  return result;
}

}  // namespace cuqat::test
