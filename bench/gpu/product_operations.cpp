#include "product_operations.hpp"

namespace cuqat::bench {
namespace {

class Bf16Product : public Operation {
 public:
  explicit Bf16Product(const GemmShape& shape)
      : shape_(shape),
        x_(x_of(shape).on_device(x_of(shape).numbers())),
        w_(w_of(shape).on_device(w_of(shape).numbers())),
        y_(shape.m * shape.n * kElementBytes),
        expected_(expected(shape)) {}

  void run(int, cudaStream_t stream) const override {
    gemm({x_.as(), DType::kBF16, Shape{shape_.m, shape_.k}}, Transpose::kNo,
         {w_.as(), DType::kBF16, Shape{shape_.n, shape_.k}}, Transpose::kYes,
         {y_.as(), DType::kBF16, Shape{shape_.m, shape_.n}}, context_, stream);
  }
  [[nodiscard]] std::string difference(int) const override {
    return rough_difference("y", y_, expected_);
  }
  void forget(int) const override { spoil(y_); }

 private:
  static std::vector<bfloat16> expected(const GemmShape& shape) {
    const RepeatedRows x = x_of(shape);
    const RepeatedRows w = w_of(shape);
    std::vector<bfloat16> y(static_cast<std::size_t>(x.period() * w.period()));
    cuqat::gemm(x.view(), Transpose::kNo, w.view(), Transpose::kYes,
                TensorView(y.data(), Shape{x.period(), w.period()}));
    return widened(y, w.period(), shape.n);
  }

  GemmShape shape_;
  DeviceBuffer x_, w_, y_;
  std::vector<bfloat16> expected_;
  DeviceContext context_;
};

class Int8Product : public Operation {
 public:
  explicit Int8Product(const GemmShape& shape)
      : shape_(shape),
        x_(x_of(shape).on_device(x_of(shape).codes(params()))),
        w_(w_of(shape).on_device(w_of(shape).codes(params()))),
        y_(shape.m * shape.n * 4),
        expected_(expected(shape)) {}

  void run(int, cudaStream_t stream) const override {
    int8_gemm({x_.as<std::uint8_t>(), x_.size_bytes()}, {w_.as<std::uint8_t>(), w_.size_bytes()},
              shape_, y_.span<std::int32_t>(), context_, stream);
  }
  [[nodiscard]] std::string difference(int) const override {
    return bench::difference("y", y_, expected_);
  }
  void forget(int) const override { spoil(y_); }

 private:
  static QuantParams params() { return {{}, {}, {double{kInt8Scale}}, {}}; }
  static std::vector<std::int32_t> expected(const GemmShape& shape) {
    const RepeatedRows x = x_of(shape);
    const RepeatedRows w = w_of(shape);
    std::vector<std::int32_t> y(static_cast<std::size_t>(x.period() * w.period()));
    cuqat::int8_gemm(x.codes(params()), w.codes(params()), {x.period(), w.period(), shape.k}, y);
    return widened(y, w.period(), shape.n);
  }

  GemmShape shape_;
  DeviceBuffer x_, w_, y_;
  std::vector<std::int32_t> expected_;
  DeviceContext context_;
};

}  // namespace

std::unique_ptr<Operation> bf16_product(const GemmShape& shape) {
  return std::make_unique<Bf16Product>(shape);
}
std::unique_ptr<Operation> int8_product(const GemmShape& shape) {
  return std::make_unique<Int8Product>(shape);
}

}  // namespace cuqat::bench
