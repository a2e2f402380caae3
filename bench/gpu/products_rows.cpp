// Rows 12 and 13: products of codes as cuBLASLt makes them, and integer and FP8 layers, whose
// outputs are scaled.
#include "product_operations.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr GemmShape kShapes[] = {{8192, 8192, 8192}, {16384, 4096, 4096}};
constexpr float kOutputScale = 2.0f;

/// A layer of codes, and how it is scaled.
struct Variant {
  Format format;
  bool by_row;    ///< A scale for each row of x, else one.
  bool affine;    ///< x has a zero point.
  bool to_codes;  ///< y is int8, else bf16.
  /// Scratch memory that a piece has; 0: as much as one piece of all takes.
  std::size_t workspace_bytes = 0;
};

/// The layer on the host, of the rows that repeat.
struct HostLayer {
  HostLayer(const Variant& variant, const GemmShape& shape)
      : x(x_of(shape)),
        w(w_of(shape)),
        small{x.period(), w.period(), shape.k},
        x_params(params(variant, variant.by_row ? Granularity::channel(0) : Granularity::tensor(),
                        x.period())),
        w_params(params(variant, Granularity::channel(0), w.period())),
        x_codes(x.codes(x_params)),
        w_codes(w.codes(w_params)) {
    if (variant.affine) x_params.zero_point.assign(x_params.scale.size(), 3);
    for (std::int64_t j = 0; j < w.period(); ++j) bias.push_back(static_cast<float>(j % 7) - 3.0f);
  }

  static QuantParams params(const Variant& variant, const Granularity& granularity,
                            std::int64_t rows) {
    QuantParams params{{variant.format}, granularity, {}, {}};
    const float scale = is_integer(variant.format) ? kInt8Scale : kE4M3Scale;
    const std::int64_t num_scales = granularity == Granularity::tensor() ? 1 : rows;
    for (std::int64_t i = 0; i < num_scales; ++i) {
      params.scale.push_back(double{scale} * (1.0 + static_cast<double>(i % 5) / 4));
    }
    return params;
  }
  [[nodiscard]] std::vector<bfloat16> numbers() const {
    std::vector<bfloat16> y(static_cast<std::size_t>(small.m * small.n));
    const TensorView view(y.data(), Shape{small.m, small.n});
    if (is_integer(x_params.quantizer.format)) {
      cuqat::int8_linear(x_codes, x_params, w_codes, w_params, small, bias, view);
    } else {
      cuqat::fp8_linear(x_codes, x_params, w_codes, w_params, small, bias, view);
    }
    return y;
  }
  [[nodiscard]] std::vector<std::uint8_t> codes() const {
    std::vector<std::uint8_t> y(static_cast<std::size_t>(small.m * small.n));
    const QuantParams y_params{{}, {}, {double{kOutputScale}}, {}};
    cuqat::int8_linear(x_codes, x_params, w_codes, w_params, small, bias, y_params, y);
    return y;
  }

  RepeatedRows x, w;
  GemmShape small;
  QuantParams x_params, w_params;
  std::vector<std::uint8_t> x_codes, w_codes;
  std::vector<float> bias;
};

/// As the device functions take them; scales repeat with their rows.
class DeviceParams {
 public:
  DeviceParams(const QuantParams& params, std::int64_t rows)
      : quantizer_(params.quantizer),
        granularity_(params.granularity),
        scale_(repeated(std::vector<float>(params.scale.begin(), params.scale.end()),
                        num_of(params, rows))),
        zero_point_(params.zero_point.empty() ? DeviceBuffer(std::vector<std::int32_t>(1))
                                              : repeated(params.zero_point, num_of(params, rows))),
        has_zero_point_(!params.zero_point.empty()) {}

  [[nodiscard]] DeviceQuantParams get() const {
    const std::int64_t count = scale_.size_bytes() / 4;
    DeviceQuantParams params{quantizer_, granularity_, {}, {}};
    params.scale = {scale_.as(), DType::kF32, Shape{count}};
    if (has_zero_point_) params.zero_point = {zero_point_.as<std::int32_t>(), count};
    return params;
  }

 private:
  static std::int64_t num_of(const QuantParams& params, std::int64_t rows) {
    return params.granularity == Granularity::tensor() ? 1 : rows;
  }

  Quantizer quantizer_;
  Granularity granularity_;
  DeviceBuffer scale_;
  DeviceBuffer zero_point_;
  bool has_zero_point_;
};

class CodeLayer : public Operation {
 public:
  CodeLayer(const Variant& variant, const GemmShape& shape)
      : CodeLayer(variant, shape, HostLayer(variant, shape)) {}

  void run(int, cudaStream_t stream) const override {
    const DeviceSpan<const std::uint8_t> x(x_.as<std::uint8_t>(), x_.size_bytes());
    const DeviceSpan<const std::uint8_t> w(w_.as<std::uint8_t>(), w_.size_bytes());
    const ConstDeviceTensorView bias(bias_.as(), DType::kF32, Shape{shape_.n});
    const DeviceTensorView y(y_.as(), DType::kBF16,
                             variant_.to_codes ? Shape{0, 0} : Shape{shape_.m, shape_.n});
    if (!is_integer(variant_.format)) {
      fp8_linear(x, x_params_.get(), w, w_params_.get(), shape_, bias, y, context_, stream);
    } else if (variant_.to_codes) {
      int8_linear(x, x_params_.get(), w, w_params_.get(), shape_, bias, sums(), y_params_.get(),
                  {y_.as<std::uint8_t>(), y_.size_bytes()}, context_, stream);
    } else {
      int8_linear(x, x_params_.get(), w, w_params_.get(), shape_, bias, sums(), y, context_,
                  stream);
    }
  }
  /// Codes and integer layers to the bit.
  [[nodiscard]] std::string difference(int) const override {
    if (variant_.to_codes) return bench::difference("codes", y_, expected_codes_);
    return is_integer(variant_.format) ? bench::difference("y", y_, expected_)
                                       : rough_difference("y", y_, expected_);
  }
  void forget(int) const override { spoil(y_); }

 private:
  CodeLayer(const Variant& variant, const GemmShape& shape, const HostLayer& host)
      : variant_(variant),
        shape_(shape),
        context_({.workspace_bytes = variant.workspace_bytes == 0 ? product_workspace_bytes(shape)
                                                                  : variant.workspace_bytes}),
        x_(host.x.on_device(host.x_codes)),
        w_(host.w.on_device(host.w_codes)),
        x_params_(host.x_params, shape.m),
        w_params_(host.w_params, shape.n),
        y_params_({{}, {}, {double{kOutputScale}}, {}}, 1),
        bias_(repeated(host.bias, shape.n)),
        sums_(shape.n * 8),
        y_(shape.m * shape.n * (variant.to_codes ? 1 : kElementBytes)) {
    if (variant.to_codes) {
      expected_codes_ = widened(host.codes(), host.w.period(), shape.n);
    } else {
      expected_ = widened(host.numbers(), host.w.period(), shape.n);
    }
    const Stream stream;
    require(cudaDeviceSynchronize());
    sum_code_rows({w_.as<std::uint8_t>(), w_.size_bytes()}, shape.k, sums_.span<std::int64_t>(),
                  context_, stream.get());
    stream.wait();
  }
  [[nodiscard]] DeviceSpan<const std::int64_t> sums() const {
    return {sums_.as<std::int64_t>(), shape_.n};
  }

  Variant variant_;
  GemmShape shape_;
  DeviceContext context_;
  DeviceBuffer x_, w_;
  DeviceParams x_params_, w_params_, y_params_;
  DeviceBuffer bias_, sums_, y_;
  std::vector<bfloat16> expected_;
  std::vector<std::uint8_t> expected_codes_;
};

void add(const std::string& name, const Variant& variant) {
  for (const GemmShape& full : kShapes) {
    const GemmShape shape = sample_of(full);
    std::vector<Rival> rivals = {{"bf16", [shape] { return bf16_product(shape); }}};
    if (is_integer(variant.format)) {
      rivals.push_back({"int8_product", [shape] { return int8_product(shape); }});
    }
    register_contest({name, shape, 1, traffic_of_codes(shape, variant.to_codes ? 1 : 2),
                      [variant, shape] { return std::make_unique<CodeLayer>(variant, shape); },
                      rivals});
  }
}

const bool kRegistered = [] {
  for (const GemmShape& full : kShapes) {
    const GemmShape shape = sample_of(full);
    register_contest({"12 int8_gemm",
                      shape,
                      1,
                      traffic_of_codes(shape, 4),
                      [shape] { return int8_product(shape); },
                      {{"bf16", [shape] { return bf16_product(shape); }}}});
  }
  add("12 fp8_linear e4m3 to bf16", {Format::kE4M3, false, false, false});
  add("12 fp8_linear e4m3 to bf16, a scale a row", {Format::kE4M3, true, false, false});
  add("13 int8_linear to bf16, affine", {Format::kInt8, false, true, false});
  add("13 int8_linear to bf16, a scale a row", {Format::kInt8, true, false, false});
  // Sums that stay in the L2 cache.
  add("13 int8_linear to bf16, affine, in pieces of 24 MiB",
      {Format::kInt8, false, true, false, std::size_t{24} << 20});
  add("13 int8_linear to int8, affine", {Format::kInt8, false, true, true});
  return true;
}();

}  // namespace
