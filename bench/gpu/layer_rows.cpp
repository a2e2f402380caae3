// Rows 14 and 15: a step of a linear layer that trains, forward and backward, from its numbers and
// from its codes, beside the same step without quantization.
#include <cuqat/device_layer.hpp>
#include <cuqat/layer.hpp>

#include "contest.hpp"
#include "product_operations.hpp"
#include "repeated_rows.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr GemmShape kShapes[] = {{16384, 4096, 4096}, {8192, 8192, 8192}};
/// Few, as the host computes a whole step of them.
constexpr std::int64_t kStepRows = 16;
constexpr std::uint64_t kSeed = 5;

RepeatedRows step_x(const GemmShape& shape) { return {shape.m, shape.k, kStepRows, 3}; }
RepeatedRows step_dy(const GemmShape& shape) { return {shape.m, shape.n, kStepRows, 4}; }

DeviceTensorView matrix(const DeviceBuffer& buffer, std::int64_t rows, std::int64_t columns,
                        DType dtype = DType::kBF16) {
  return {buffer.as(), dtype, Shape{rows, columns}};
}

/// y = x w^T, dx = dy w, dw = dy^T x and db, of bf16. Without a bias, which cuqat's `linear` adds
/// in a pass of its own and a framework does not: this rival is not to pay for it.
class PlainStep : public Operation {
 public:
  explicit PlainStep(const GemmShape& shape)
      : shape_(shape),
        context_({.workspace_bytes = product_workspace_bytes(shape)}),
        x_(step_x(shape).on_device(step_x(shape).numbers())),
        dy_(step_dy(shape).on_device(step_dy(shape).numbers())),
        w_(w_of(shape).on_device(w_of(shape).numbers())),
        ones_(std::vector<bfloat16>(static_cast<std::size_t>(shape.m), bfloat16{0x3f80})),
        y_(shape.m * shape.n * kElementBytes),
        dx_(shape.m * shape.k * kElementBytes),
        dw_(shape.n * shape.k * kElementBytes),
        db_(shape.n * kElementBytes) {}

  void run(int, cudaStream_t stream) const override {
    const auto& [m, n, k] = shape_;
    const ConstDeviceTensorView x = matrix(x_, m, k);
    const ConstDeviceTensorView w = matrix(w_, n, k);
    const ConstDeviceTensorView dy = matrix(dy_, m, n);
    gemm(x, Transpose::kNo, w, Transpose::kYes, matrix(y_, m, n), context_, stream);
    gemm(matrix(ones_, 1, m), Transpose::kNo, dy, Transpose::kNo, matrix(db_, 1, n), context_,
         stream);
    gemm(dy, Transpose::kYes, x, Transpose::kNo, matrix(dw_, n, k), context_, stream);
    gemm(dy, Transpose::kNo, w, Transpose::kNo, matrix(dx_, m, k), context_, stream);
  }
  /// Of y.
  [[nodiscard]] std::string difference(int) const override {
    const RepeatedRows x = step_x(shape_);
    const RepeatedRows w = w_of(shape_);
    std::vector<bfloat16> y(static_cast<std::size_t>(x.period() * w.period()));
    cuqat::gemm(x.view(), Transpose::kNo, w.view(), Transpose::kYes,
                TensorView(y.data(), Shape{x.period(), w.period()}));
    return rough_difference("y", y_, widened(y, w.period(), shape_.n));
  }
  void forget(int) const override { spoil(y_); }

 private:
  GemmShape shape_;
  DeviceContext context_;
  DeviceBuffer x_, dy_, w_, ones_, y_, dx_, dw_, db_;
};

struct Variant {
  Format format;
  QatProduct product;
};

QatLayerConfig config_of(const Variant& variant) {
  QatLayerConfig config;
  config.weight.format = config.activation.format = variant.format;
  config.product = variant.product;
  return config;
}

QuantParams activation_of(const Variant& variant) {
  const bool integer = is_integer(variant.format);
  Quantizer quantizer;
  quantizer.format = variant.format;
  quantizer.narrow_range = integer;
  return {quantizer, {}, {double{integer ? kInt8Scale : kE4M3Scale}}, {}};
}

/// What a step of the rows that repeat gives on the host.
struct HostStep {
  HostStep(const Variant& variant, const GemmShape& shape) {
    const RepeatedRows x = step_x(shape);
    const RepeatedRows of_dy = step_dy(shape);
    QatLayer layer(shape.k, shape.n, config_of(variant), kSeed);
    layer.set_activation_params(activation_of(variant));
    y.resize(of_dy.numbers().size());
    dx.resize(x.numbers().size());
    dweight.resize(static_cast<std::size_t>(shape.n * shape.k));
    dbias.resize(static_cast<std::size_t>(shape.n));
    QatLayer::Saved saved;
    layer.forward_train(x.view(), TensorView(y.data(), of_dy.shape()), saved);
    QatGradients gradients;
    gradients.dx = TensorView(dx.data(), x.shape());
    gradients.dweight = TensorView(dweight.data(), Shape{shape.n, shape.k});
    gradients.dbias = TensorView(dbias.data(), Shape{shape.n});
    layer.backward(of_dy.view(), saved, gradients);
    const auto times = static_cast<float>(shape.m / x.period());
    for (float& gradient : dweight) gradient *= times;
    for (float& gradient : dbias) gradient *= times;
  }

  std::vector<bfloat16> y, dx;
  std::vector<float> dweight, dbias;
};

class TrainingStep : public Operation {
 public:
  TrainingStep(const Variant& variant, const GemmShape& shape)
      : variant_(variant),
        shape_(shape),
        expected_(variant, shape),
        context_({.workspace_bytes = product_workspace_bytes(shape)}),
        layer_(shape.k, shape.n, config_of(variant), kSeed, context_),
        x_(step_x(shape).on_device(step_x(shape).numbers())),
        dy_(step_dy(shape).on_device(step_dy(shape).numbers())),
        y_(shape.m * shape.n * kElementBytes),
        dx_(shape.m * shape.k * kElementBytes),
        dweight_(shape.n * shape.k * 4),
        dbias_(shape.n * 4) {
    layer_.set_activation_params(activation_of(variant), context_);
  }

  /// As a graph it quantizes the weights each time, as after a step of the optimizer.
  void run(int, cudaStream_t stream) const override {
    const auto& [m, n, k] = shape_;
    layer_.forward_train(matrix(x_, m, k), matrix(y_, m, n), saved_, context_, stream);
    DeviceQatGradients gradients;
    gradients.dx = matrix(dx_, m, k);
    gradients.dweight = matrix(dweight_, n, k, DType::kF32);
    gradients.dbias = {dbias_.as(), DType::kF32, Shape{n}};
    layer_.backward(matrix(dy_, m, n), saved_, gradients, context_, stream);
  }
  /// y of integer codes to the bit.
  [[nodiscard]] std::string difference(int) const override {
    const bool exact = variant_.product == QatProduct::kCodes && is_integer(variant_.format);
    std::string wrong =
        exact ? bench::difference("y", y_, expected_.y) : rough_difference("y", y_, expected_.y);
    if (wrong.empty()) wrong = rough_difference("dx", dx_, expected_.dx);
    if (wrong.empty()) wrong = rough_difference("dweight", dweight_, expected_.dweight);
    if (wrong.empty()) wrong = rough_difference("dbias", dbias_, expected_.dbias);
    return wrong;
  }
  void forget(int) const override {
    for (const DeviceBuffer* buffer : {&y_, &dx_, &dweight_, &dbias_}) spoil(*buffer);
  }

 private:
  Variant variant_;
  GemmShape shape_;
  HostStep expected_;
  DeviceContext context_;
  mutable DeviceQatLayer layer_;  // what it keeps changes, its results do not
  mutable DeviceQatLayer::Saved saved_;
  DeviceBuffer x_, dy_, y_, dx_, dweight_, dbias_;
};

void add(const std::string& name, const Variant& variant) {
  for (const GemmShape& full : kShapes) {
    const GemmShape shape = sample_of(full);
    const auto& [m, n, k] = shape;
    const Traffic traffic{2 * m * (k + n) + 4 * n * k, 2 * m * (k + n) + 4 * n * k};
    register_contest({name,
                      shape,
                      3,
                      traffic,
                      [variant, shape] { return std::make_unique<TrainingStep>(variant, shape); },
                      {{"bf16", [shape] { return std::make_unique<PlainStep>(shape); }}}});
  }
}

const bool kRegistered = [] {
  add("14 layer step int8, product of numbers", {Format::kInt8, QatProduct::kNumbers});
  add("14 layer step e4m3, product of numbers", {Format::kE4M3, QatProduct::kNumbers});
  add("15 layer step int8, product of codes", {Format::kInt8, QatProduct::kCodes});
  add("15 layer step e4m3, product of codes", {Format::kE4M3, QatProduct::kCodes});
  return true;
}();

}  // namespace
