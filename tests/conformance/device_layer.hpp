// Layers of codes on the host, and what the device makes of them.
#pragma once

#include <cstdint>
#include <vector>

#include "conformance/device_products.hpp"
#include "support/code_layer.hpp"

namespace cuqat::test {

struct Variant {
  bool by_row = false;
  bool by_output = false;
  bool x_affine = false;
  bool w_affine = false;
  bool biased = false;
};
inline Variant variant_of(int number) {
  const auto bit = [number](int i) { return (number >> i & 1) != 0; };
  return {bit(0), bit(1), bit(2), bit(3), bit(4)};
}

inline QuantParams some_params(const Granularity& granularity, std::int64_t count, bool affine,
                               std::uint64_t seed) {
  Random random(seed);
  QuantParams params;
  params.granularity = granularity;
  params.scale.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    params.scale.push_back(random.uniform(1e-3, 2e-2));
    if (affine) params.zero_point.push_back(static_cast<std::int32_t>(random() % 256) - 128);
  }
  return params;
}

inline Layer some_layer(const GemmShape& shape, const Variant& variant) {
  Layer layer{shape, some_codes(shape.m * shape.k, 11), some_codes(shape.n * shape.k, 12), {}, {},
              {}};
  const Granularity row = shape.k > 0 ? Granularity::group(shape.k + 3) : Granularity::channel(0);
  layer.x_params = some_params(variant.by_row ? row : Granularity::tensor(),
                               variant.by_row ? shape.m : 1, variant.x_affine, 13);
  layer.w_params = some_params(variant.by_output ? Granularity::channel(0) : Granularity::tensor(),
                               variant.by_output ? shape.n : 1, variant.w_affine, 14);
  Random random(15);
  for (std::int64_t j = 0; variant.biased && j < shape.n; ++j) {
    layer.bias.push_back(random.normal());
  }
  return layer;
}

inline DType compute_type(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

/// Scales and zero points in device memory.
class PlacedParams {
 public:
  PlacedParams(const QuantParams& params, DType dtype)
      : params_(params),
        dtype_(compute_type(dtype)),
        scale_(to_bytes(dtype_, params.scale)),
        zero_point_(params.zero_point) {}
  [[nodiscard]] DeviceQuantParams get() const {
    const auto count = static_cast<std::int64_t>(params_.scale.size());
    return {params_.quantizer,
            params_.granularity,
            {scale_.as<void>(), dtype_, Shape{count}},
            zero_point_.span<const std::int32_t>()};
  }

 private:
  QuantParams params_;
  DType dtype_;
  Placed scale_;
  Placed zero_point_;
};

/// Where a layer lies, and whether the sums of w are given.
struct Where {
  std::size_t x = 0;
  std::size_t w = 0;
  std::size_t y = 0;
  bool with_sums = false;
  const DeviceContext* context = nullptr;  ///< Null: that under test.
};

/// A layer in device memory, for outputs of a dtype.
class PlacedLayer {
 public:
  PlacedLayer(const Layer& layer, DType dtype, const Where& where)
      : x_(layer.x, where.x),
        w_(layer.w, where.w),
        x_params_(layer.x_params, dtype),
        w_params_(layer.w_params, dtype),
        bias_(to_bytes(compute_type(dtype), layer.bias)),
        bias_view_(bias_.as<void>(), compute_type(dtype),
                   Shape{static_cast<std::int64_t>(layer.bias.size())}),
        sums_(std::vector<std::int64_t>(static_cast<std::size_t>(layer.shape.n), 77)),
        depth_(layer.shape.k),
        with_sums_(where.with_sums) {}

  [[nodiscard]] DeviceSpan<const std::uint8_t> x() const { return x_.span<const std::uint8_t>(); }
  [[nodiscard]] DeviceSpan<const std::uint8_t> w() const { return w_.span<const std::uint8_t>(); }
  [[nodiscard]] DeviceQuantParams x_params() const { return x_params_.get(); }
  [[nodiscard]] DeviceQuantParams w_params() const { return w_params_.get(); }
  [[nodiscard]] const ConstDeviceTensorView& bias() const { return bias_view_; }
  /// The sums of w where they are wanted, which it puts on the stream.
  [[nodiscard]] DeviceSpan<const std::int64_t> sums(const DeviceContext& context,
                                                    StreamRef stream) const {
    if (!with_sums_) return {};
    sum_code_rows(w(), depth_, sums_.span<std::int64_t>(), context, stream);
    return sums_.span<const std::int64_t>();
  }

 private:
  Placed x_;
  Placed w_;
  PlacedParams x_params_;
  PlacedParams w_params_;
  Placed bias_;
  ConstDeviceTensorView bias_view_;
  Placed sums_;
  std::int64_t depth_;
  bool with_sums_;
};

inline const DeviceContext& context_of(const Where& where) {
  return where.context == nullptr ? device_under_test().context : *where.context;
}

inline Bytes device_outputs(const Layer& layer, DType dtype, const Where& where = {}) {
  const DeviceContext& context = context_of(where);
  const StreamRef stream = device_under_test().stream;
  const PlacedLayer placed(layer, dtype, where);
  const Shape outputs{layer.shape.m, layer.shape.n};
  const Placed y(
      Bytes(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a}),
      where.y);
  const DeviceTensorView device_y(y.as<void>(), dtype, outputs);
  run_product([&] {
    if (is_integer(layer.x_params.quantizer.format)) {
      int8_linear(placed.x(), placed.x_params(), placed.w(), placed.w_params(), layer.shape,
                  placed.bias(), placed.sums(context, stream), device_y, context, stream);
    } else {
      fp8_linear(placed.x(), placed.x_params(), placed.w(), placed.w_params(), layer.shape,
                 placed.bias(), device_y, context, stream);
    }
  });
  return y.content<std::byte>();
}

}  // namespace cuqat::test
