#include "support/device_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <vector>

#include "cuqat/device_equalization.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_histogram.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/elements.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

using detail::ScaledTensor;

void require(cudaError_t status) {
  if (status != cudaSuccess) FAIL() << cudaGetErrorName(status);
}

/// A host buffer's twin in device memory, as far past a multiple of 64 bytes as the buffer is.
class DeviceCopy {
 public:
  DeviceCopy(const void* host, std::size_t bytes)
      : begin_(kGuardBytes + reinterpret_cast<std::uintptr_t>(host) % 64),
        bytes_(bytes),
        content_(begin_ + bytes + kEndBytes, kGuard) {
    if (bytes > 0) std::memcpy(content_.data() + begin_, host, bytes);
    require(cudaMalloc(&memory_, content_.size()));
    require(cudaMemcpy(memory_, content_.data(), content_.size(), cudaMemcpyHostToDevice));
    // The copy may still be on its way, and streams that do not block do not wait for it.
    require(cudaDeviceSynchronize());
  }
  ~DeviceCopy() { static_cast<void>(cudaFree(memory_)); }
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(memory_) + begin_; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data());
  }
  template <typename T>
  [[nodiscard]] DeviceSpan<T> span() const {
    return {as<T>(), static_cast<std::int64_t>(bytes_ / sizeof(T))};
  }

  void copy_back(void* host) {
    require(cudaMemcpy(content_.data(), memory_, content_.size(), cudaMemcpyDeviceToHost));
    const auto intact = [](std::byte byte) { return byte == kGuard; };
    const auto end = static_cast<std::ptrdiff_t>(begin_ + bytes_);
    EXPECT_TRUE(std::all_of(content_.begin(),
                            content_.begin() + static_cast<std::ptrdiff_t>(begin_), intact) &&
                std::all_of(content_.begin() + end, content_.end(), intact))
        << "device memory beside an output was written";
    if (bytes_ > 0) std::memcpy(host, content_.data() + begin_, bytes_);
  }

 private:
  static constexpr std::byte kGuard{0x5c};
  static constexpr std::size_t kGuardBytes = 64;
  // A sanitizer sees the end of the allocation itself, and sooner.
  static constexpr std::size_t kEndBytes = kSanitized ? 0 : kGuardBytes;

  std::size_t begin_;
  std::size_t bytes_;
  std::vector<std::byte> content_;
  void* memory_ = nullptr;
};

StreamRef stream() { return device_under_test().stream; }
const DeviceContext& context() { return device_under_test().context; }

DType compute_type(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

/// Scales and zero points in device memory.
class DeviceScales {
 public:
  explicit DeviceScales(const ScaledTensor& tensor)
      : tensor_(tensor),
        scale_(tensor.scale, scales() * dtype_bytes(compute_type(tensor.dtype))),
        zero_point_(tensor.zero_point, scales() * sizeof(std::int32_t)) {}

  [[nodiscard]] DeviceQuantParams params() const {
    DeviceQuantParams params;
    params.quantizer = tensor_.quantizer;
    params.granularity = tensor_.granularity;
    params.scale = {scale_.data(), compute_type(tensor_.dtype), Shape{tensor_.num_scales}};
    if (is_integer(tensor_.quantizer.format)) {
      params.zero_point = {zero_point_.as<const std::int32_t>(), tensor_.num_scales};
    }
    return params;
  }

 private:
  [[nodiscard]] std::size_t scales() const { return static_cast<std::size_t>(tensor_.num_scales); }

  const ScaledTensor& tensor_;
  DeviceCopy scale_;
  DeviceCopy zero_point_;
};

std::size_t tensor_bytes(const ScaledTensor& tensor) {
  return static_cast<std::size_t>(tensor.shape.count()) * dtype_bytes(tensor.dtype);
}
DeviceTensorView view(const DeviceCopy& copy, const ScaledTensor& tensor) {
  return {copy.data(), tensor.dtype, tensor.shape};
}

void run_quantize(const ScaledTensor& tensor, const void* x, std::uint8_t* codes,
                  CodeLayout layout) {
  const std::size_t bytes = codes_bytes(tensor.shape.count(), layout);
  const DeviceScales scales(tensor);
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  DeviceCopy device_codes(codes, bytes);
  run_on_device([&] {
    quantize(view(device_x, tensor), scales.params(),
             {device_codes.as<std::uint8_t>(), static_cast<std::int64_t>(bytes)}, layout, context(),
             stream());
  });
  device_codes.copy_back(codes);
  const Statistics expected = cuqat::statistics(ConstTensorView(x, tensor.dtype, tensor.shape),
                                                {Backend::named("reference"), 1});
  Statistics found{-1, -1, -1, -1, -1, 0.0, 0.0};  // not the answer for no elements
  DeviceCopy device_found(&found, sizeof(found));
  const std::vector<std::uint8_t> before(bytes, 0x77);
  DeviceCopy codes_again(before.data(), bytes);
  run_on_device([&] {
    quantize(view(device_x, tensor), scales.params(),
             {codes_again.as<std::uint8_t>(), static_cast<std::int64_t>(bytes)}, layout,
             device_found.span<Statistics>(), context(), stream());
  });
  device_found.copy_back(&found);
  EXPECT_EQ(found, expected) << "the statistics in the same read";
  std::vector<std::uint8_t> again(bytes);
  codes_again.copy_back(again.data());
  EXPECT_TRUE(std::equal(again.begin(), again.end(), codes)) << "codes with statistics";
}

void run_quantize_transposed(const ScaledTensor& tensor, const void* x, std::uint8_t* codes,
                             std::uint8_t* codes_transposed) {
  const std::size_t bytes = codes_bytes(tensor.shape.count(), CodeLayout::kBytes);
  const DeviceScales scales(tensor);
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  DeviceCopy device_codes(codes, codes == nullptr ? 0 : bytes);
  DeviceCopy device_transposed(codes_transposed, bytes);
  const auto count = static_cast<std::int64_t>(bytes);
  run_on_device([&] {
    quantize_transposed(view(device_x, tensor), scales.params(),
                        {device_codes.as<std::uint8_t>(), codes == nullptr ? 0 : count},
                        {device_transposed.as<std::uint8_t>(), count}, context(), stream());
  });
  device_codes.copy_back(codes);
  device_transposed.copy_back(codes_transposed);
}

void run_dequantize(const ScaledTensor& tensor, const std::uint8_t* codes, CodeLayout layout,
                    void* y) {
  const std::size_t bytes = codes_bytes(tensor.shape.count(), layout);
  const DeviceScales scales(tensor);
  const DeviceCopy device_codes(codes, bytes);
  DeviceCopy device_y(y, tensor_bytes(tensor));
  run_on_device([&] {
    dequantize({device_codes.as<const std::uint8_t>(), static_cast<std::int64_t>(bytes)},
               scales.params(), view(device_y, tensor), layout, context(), stream());
  });
  device_y.copy_back(y);
}

void run_fake_quantize(const ScaledTensor& tensor, const void* x, void* y,
                       std::uint8_t* clip_mask) {
  const std::size_t mask_bytes = clip_mask == nullptr ? 0 : clip_mask_bytes(tensor.shape.count());
  const DeviceScales scales(tensor);
  const DeviceCopy own_x(x, x == y ? 0 : tensor_bytes(tensor));
  DeviceCopy device_y(y, tensor_bytes(tensor));
  const DeviceCopy& device_x = x == y ? device_y : own_x;
  DeviceCopy device_mask(clip_mask, mask_bytes);
  // How scales are held does not matter to statistics: DeviceColumn sees the other ways.
  const bool with_statistics = tensor.granularity.kind == Granularity::Kind::kTensor;
  const Statistics expected = cuqat::statistics(ConstTensorView(x, tensor.dtype, tensor.shape),
                                                {Backend::named("reference"), 1});
  Statistics found{-1, -1, -1, -1, -1, 0.0, 0.0};  // not the answer for no elements
  DeviceCopy device_found(&found, sizeof(found));
  FakeQuantizeExtras extras;
  extras.clip_mask = {device_mask.as<std::uint8_t>(), static_cast<std::int64_t>(mask_bytes)};
  if (with_statistics) extras.statistics = device_found.span<Statistics>();
  run_on_device([&] {
    fake_quantize(view(device_x, tensor), scales.params(), view(device_y, tensor), extras,
                  context(), stream());
  });
  device_y.copy_back(y);
  device_mask.copy_back(clip_mask);
  device_found.copy_back(&found);
  if (with_statistics) {
    EXPECT_EQ(found, expected) << "the statistics in the same read";
  }
  if (x == y) return;
  // Without statistics and mask another kernel and another cut into packs.
  std::vector<std::byte> other(static_cast<const std::byte*>(y),
                               static_cast<const std::byte*>(y) + tensor_bytes(tensor));
  for (std::byte& byte : other) byte = ~byte;
  DeviceCopy plain_y(other.data(), tensor_bytes(tensor));
  run_on_device([&] {
    fake_quantize(view(device_x, tensor), scales.params(), view(plain_y, tensor), {}, context(),
                  stream());
  });
  std::vector<std::byte> plain(tensor_bytes(tensor));
  plain_y.copy_back(plain.data());
  EXPECT_TRUE(plain.empty() || std::memcmp(plain.data(), y, plain.size()) == 0)
      << "y without statistics";
}

void run_backward(const ScaledTensor& tensor, const void* dy, const void* x, void* dx) {
  const DeviceScales scales(tensor);
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  const DeviceCopy own_dy(dy, dy == dx ? 0 : tensor_bytes(tensor));
  DeviceCopy device_dx(dx, tensor_bytes(tensor));
  run_on_device([&] {
    fake_quantize_backward(view(dy == dx ? device_dx : own_dy, tensor), view(device_x, tensor),
                           scales.params(), view(device_dx, tensor), context(), stream());
  });
  device_dx.copy_back(dx);
}

void run_backward_from_mask(DType dtype, std::int64_t count, const void* dy,
                            const std::uint8_t* clip_mask, void* dx, int) {
  ScaledTensor tensor;
  tensor.dtype = dtype;
  tensor.shape = Shape{count};
  const std::size_t mask_bytes = clip_mask_bytes(count);
  const DeviceCopy device_mask(clip_mask, mask_bytes);
  const DeviceCopy own_dy(dy, dy == dx ? 0 : tensor_bytes(tensor));
  DeviceCopy device_dx(dx, tensor_bytes(tensor));
  run_on_device([&] {
    fake_quantize_backward(
        view(dy == dx ? device_dx : own_dy, tensor),
        {device_mask.as<const std::uint8_t>(), static_cast<std::int64_t>(mask_bytes)},
        view(device_dx, tensor), context(), stream());
  });
  device_dx.copy_back(dx);
}

/// g is the default, which is asked for out of place. Where there is one scale it is given in
/// place.
void run_learned_scale(const ScaledTensor& tensor, const void* dy, const void* x, void* dx,
                       const double* gradient_scale, double* dscale, double* dzero_point) {
  const bool in_place = dy == dx;
  const DType compute = compute_type(tensor.dtype);
  const DeviceScales scales(tensor);
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  const DeviceCopy own_dy(dy, in_place ? 0 : tensor_bytes(tensor));
  DeviceCopy device_dx(dx, tensor_bytes(tensor));
  const auto num_scales = static_cast<std::size_t>(tensor.num_scales);
  // Not the answer, in memory of the compute type.
  Bytes results = to_bytes(compute, std::vector<double>(num_scales, -1.0));
  DeviceCopy device_dscale(results.data(), results.size());
  DeviceCopy device_dzero_point(results.data(), results.size());
  DeviceLearnedScaleGradient gradient;
  gradient.dscale = {device_dscale.data(), compute, Shape{tensor.num_scales}};
  if (dzero_point != nullptr) {
    gradient.dzero_point = {device_dzero_point.data(), compute, Shape{tensor.num_scales}};
  }
  const bool is_given = in_place && num_scales == 1;
  run_on_device([&] {
    learned_scale_backward(view(in_place ? device_dx : own_dy, tensor), view(device_x, tensor),
                           scales.params(), view(device_dx, tensor), gradient,
                           is_given ? std::optional(*gradient_scale) : std::nullopt, context(),
                           stream());
  });
  device_dx.copy_back(dx);
  device_dscale.copy_back(results.data());
  std::ranges::copy(to_doubles(compute, results), dscale);
  if (dzero_point == nullptr) return;
  device_dzero_point.copy_back(results.data());
  std::ranges::copy(to_doubles(compute, results), dzero_point);
}

void run_statistics(const ScaledTensor& tensor, const void* x, Statistics* result) {
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  const auto bytes = static_cast<std::size_t>(tensor.num_scales) * sizeof(Statistics);
  DeviceCopy device_result(result, bytes);
  run_on_device([&] {
    if (tensor.granularity.kind == Granularity::Kind::kTensor) {
      statistics(view(device_x, tensor), device_result.span<Statistics>(), context(), stream());
    } else {
      statistics(view(device_x, tensor), tensor.granularity,
                 {device_result.as<Statistics>(), tensor.num_scales}, context(), stream());
    }
  });
  device_result.copy_back(result);
}

void run_quantization_error(const ScaledTensor& tensor, const void* x, const double* amax,
                            QuantizationError* result) {
  std::vector<Statistics> statistics;
  for (std::int64_t i = 0; i < tensor.num_scales; ++i) {
    statistics.push_back({1, 0, 0, 0, amax[i] == 0.0 ? 1 : 0, -amax[i] + 0.0, amax[i]});
  }
  const DeviceScales scales(tensor);
  const DeviceCopy device_x(x, tensor_bytes(tensor));
  const DeviceCopy device_statistics(statistics.data(), statistics.size() * sizeof(Statistics));
  const QuantizationError not_zero{-1, -1, {1, 1}, {1, 1}, {1, 1}};
  std::fill_n(result, tensor.num_scales, not_zero);
  DeviceCopy device_result(result,
                           static_cast<std::size_t>(tensor.num_scales) * sizeof(QuantizationError));
  run_on_device([&] {
    quantization_error(view(device_x, tensor), scales.params(),
                       device_statistics.span<const Statistics>(),
                       device_result.span<QuantizationError>(), context(), stream());
  });
  device_result.copy_back(result);
}

/// Of channels only: device functions know no other factors.
void run_scale_elements(const ScaledTensor& tensor, const void* x, void* y, bool divides) {
  const DeviceScales scales(tensor);
  const DeviceCopy own_x(x, x == y ? 0 : tensor_bytes(tensor));
  DeviceCopy device_y(y, tensor_bytes(tensor));
  const DeviceCopy& device_x = x == y ? device_y : own_x;
  run_on_device([&] {
    const int axis = tensor.granularity.axis;
    const ConstDeviceTensorView factors = scales.params().scale;
    if (divides) {
      divide_channels(view(device_x, tensor), axis, factors, view(device_y, tensor), context(),
                      stream());
    } else {
      multiply_channels(view(device_x, tensor), axis, factors, view(device_y, tensor), context(),
                        stream());
    }
  });
  device_y.copy_back(y);
}

/// With the statistics in the same read, and without.
void accumulate_key_histogram(DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
                              int) {
  const std::size_t bytes = static_cast<std::size_t>(count) * dtype_bytes(dtype);
  const DeviceCopy device_x(x, bytes);
  const ConstDeviceTensorView view(device_x.data(), dtype, Shape{count});
  Statistics found{-1, -1, -1, -1, -1, 0.0, 0.0};  // not the answer for no elements
  DeviceCopy device_found(&found, sizeof(found));
  DeviceCopy counts_with_statistics(counts, kNumKeys * sizeof(*counts));
  DeviceCopy device_counts(counts, kNumKeys * sizeof(*counts));
  run_on_device([&] {
    accumulate_key_histogram(view, {counts_with_statistics.as<std::uint64_t>(), kNumKeys},
                             device_found.span<Statistics>(), context(), stream());
    accumulate_key_histogram(view, {device_counts.as<std::uint64_t>(), kNumKeys}, context(),
                             stream());
  });
  device_found.copy_back(&found);
  EXPECT_EQ(found, cuqat::statistics(ConstTensorView(x, dtype, Shape{count}),
                                     {Backend::named("reference"), 1}))
      << "the statistics in the same read";
  device_counts.copy_back(counts);
  std::vector<std::uint64_t> again(kNumKeys);
  counts_with_statistics.copy_back(again.data());
  EXPECT_TRUE(std::equal(again.begin(), again.end(), counts)) << "counts with statistics";
}

}  // namespace

Table device_table() {
  static const detail::OperationTable kTable = [] {
    detail::OperationTable table{};
    table.name = "device";
    table.instruction_set = "";
    table.quantize = run_quantize;
    table.dequantize = run_dequantize;
    table.fake_quantize = run_fake_quantize;
    table.fake_quantize_backward = run_backward;
    table.fake_quantize_backward_from_mask = run_backward_from_mask;
    table.learned_scale_backward = run_learned_scale;
    table.statistics = run_statistics;
    table.quantization_error = run_quantization_error;
    table.accumulate_key_histogram = accumulate_key_histogram;
    table.quantize_transposed = run_quantize_transposed;
    table.scale_elements = run_scale_elements;
    return table;
  }();
  return &kTable;
}

}  // namespace cuqat::test
