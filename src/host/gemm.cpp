#include "cuqat/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "host/arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {
namespace {

using detail::text;
using detail::throw_invalid;

const std::int8_t* as_int8(std::span<const std::uint8_t> codes) {
  return reinterpret_cast<const std::int8_t*>(codes.data());
}

/// An operand's codes as a tensor of y's dtype: only its shape is looked at.
detail::ScaledArguments check_operand(std::string_view name, std::span<const std::uint8_t> codes,
                                      const QuantParams& params, bool of_integers,
                                      const Shape& shape, DType dtype, const HostOptions& options) {
  const std::string of_params = std::string(name) + "_params";
  if (is_integer(params.quantizer.format) != of_integers) {
    throw_invalid(of_params + ".quantizer.format", to_string(params.quantizer.format),
                  of_integers ? "int8 or int4" : "e4m3 or e5m2");
  }
  detail::check_size(name, codes.size(), static_cast<std::size_t>(shape.count()),
                     "one code for each element");
  return {ConstTensorView(codes.data(), dtype, shape), params, options, of_params};
}

/// One scale, or one for each row.
void check_granularity(std::string_view name, const detail::ScaledTensor& tensor, std::int64_t k,
                       bool takes_groups) {
  const Granularity& granularity = tensor.granularity;
  if (granularity.kind == Granularity::Kind::kTensor) return;
  if (granularity.kind == Granularity::Kind::kChannel && granularity.axis == 0) return;
  if (granularity.kind == Granularity::Kind::kGroup && takes_groups && k > 0 &&
      granularity.group_size >= k) {
    return;
  }
  throw_invalid(std::string(name) + ".granularity", "another",
                takes_groups ? "tensor, channel(0), or a group of at least k, where k is not 0"
                             : "tensor or channel(0)");
}

bool has_scale_of_each_row(const Granularity& granularity) {
  return granularity.kind != Granularity::Kind::kTensor;
}

/// Sums of (x - zx) (w - zw) must stay within int64.
void check_zero_points(const QuantParams& x, const QuantParams& w, std::int64_t k) {
  const auto largest = [](const QuantParams& params) {
    double most = 128.0;
    for (const std::int32_t z : params.zero_point) most = std::max(most, 128.0 + std::abs(1.0 * z));
    return most;
  };
  constexpr double kLimit = 9.2e18;  // below 2^63
  if (static_cast<double>(k) * largest(x) * largest(w) < kLimit) return;
  throw_invalid("the largest sum of (x - zx) (w - zw)", "past 9.2e18",
                "less: zero points nearer to 0, or a smaller k");
}

detail::RowScales row_scales(const detail::ScaledTensor& tensor) {
  return {tensor.scale, tensor.zero_point, has_scale_of_each_row(tensor.granularity)};
}

/// What a linear layer of codes takes, checked.
class LinearArguments {
 public:
  LinearArguments(std::span<const std::uint8_t> x, const QuantParams& x_params,
                  std::span<const std::uint8_t> w, const QuantParams& w_params, bool of_integers,
                  const GemmShape& shape, ConstTensorView bias, DType y_dtype,
                  const detail::Region& outputs, const HostOptions& options)
      : x_(check_operand("x", x, x_params, of_integers, {shape.m, shape.k}, y_dtype, options)),
        w_(check_operand("w", w, w_params, of_integers, {shape.n, shape.k}, y_dtype, options)) {
    check_granularity("x_params", x_.tensor(), shape.k, true);
    check_granularity("w_params", w_.tensor(), shape.k, false);
    detail::check_bias(bias, shape.n, y_dtype, outputs);
    detail::check_disjoint(outputs, {"x", x});
    detail::check_disjoint(outputs, {"w", w});
  }

  [[nodiscard]] detail::RowScales x() const { return row_scales(x_.tensor()); }
  [[nodiscard]] detail::RowScales w() const { return row_scales(w_.tensor()); }
  [[nodiscard]] int num_threads() const noexcept { return x_.tensor().num_threads; }

 private:
  detail::ScaledArguments x_;
  detail::ScaledArguments w_;
};

void check_outputs(const GemmShape& shape, ConstTensorView y) {
  detail::check_gemm_shape(shape);
  detail::check_view("y", y);
  const Shape outputs{shape.m, shape.n};
  if (y.shape() != outputs) throw_invalid("y.shape()", text(y.shape()), "[m, n], " + text(outputs));
}

void multiply(const detail::NamedMatrix& a, Transpose of_a, const detail::NamedMatrix& b,
              Transpose of_b, ConstTensorView bias, TensorView y, const HostOptions& options) {
  const int threads = num_threads(options);
  const GemmShape shape = detail::check_gemm(a, of_a, b, of_b, y);
  detail::check_bias(bias, shape.n, y.dtype(), {"y", y});
  options.backend.operations().gemm(
      {a.view.data(), of_a == Transpose::kYes, b.view.data(), of_b == Transpose::kYes, shape,
       a.view.dtype(), y.dtype(), bias.count() == 0 ? nullptr : bias.data(), threads},
      y.data());
}

}  // namespace

void int8_gemm(std::span<const std::uint8_t> x, std::span<const std::uint8_t> w,
               const GemmShape& shape, std::span<std::int32_t> product,
               const HostOptions& options) {
  detail::check_gemm_shape(shape);
  const int threads = num_threads(options);
  const auto check = [](std::string_view name, std::size_t size, std::int64_t rows,
                        std::int64_t columns, std::string_view why) {
    detail::check_size(name, size, static_cast<std::size_t>(Shape{rows, columns}.count()), why);
  };
  check("x", x.size(), shape.m, shape.k, "m * k");
  check("w", w.size(), shape.n, shape.k, "n * k");
  check("product", product.size(), shape.m, shape.n, "m * n");
  if (shape.k > kMaxInt32Depth) {
    throw_invalid("shape.k", text(shape.k), "at most " + text(kMaxInt32Depth));
  }
  detail::check_disjoint({"product", product}, {"x", x});
  detail::check_disjoint({"product", product}, {"w", w});
  options.backend.operations().int8_gemm({as_int8(x), as_int8(w), shape, threads}, product.data());
}

void int8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                 std::span<const std::uint8_t> w, const QuantParams& w_params,
                 const GemmShape& shape, ConstTensorView bias, TensorView y,
                 const HostOptions& options) {
  check_outputs(shape, y);
  const LinearArguments arguments(x, x_params, w, w_params, true, shape, bias, y.dtype(), {"y", y},
                                  options);
  check_zero_points(x_params, w_params, shape.k);
  options.backend.operations().int8_linear(
      {{as_int8(x), as_int8(w), shape, arguments.num_threads()},
       arguments.x(),
       arguments.w(),
       bias.count() == 0 ? nullptr : bias.data(),
       y.dtype()},
      y.data());
}

void int8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                 std::span<const std::uint8_t> w, const QuantParams& w_params,
                 const GemmShape& shape, ConstTensorView bias, const QuantParams& y_params,
                 std::span<std::uint8_t> codes, const HostOptions& options) {
  detail::check_gemm_shape(shape);
  detail::check_output_quantizer(y_params.quantizer, y_params.granularity);
  const LinearArguments arguments(x, x_params, w, w_params, true, shape, bias, DType::kF32,
                                  {"codes", codes}, options);
  check_zero_points(x_params, w_params, shape.k);
  const Shape outputs{shape.m, shape.n};
  detail::check_size("codes", codes.size(), static_cast<std::size_t>(outputs.count()),
                     "one for each output");
  const detail::ScaledArguments y(ConstTensorView(codes.data(), DType::kF32, outputs), y_params,
                                  options, "y_params");
  options.backend.operations().int8_linear_codes(
      {{as_int8(x), as_int8(w), shape, arguments.num_threads()},
       arguments.x(),
       arguments.w(),
       bias.count() == 0 ? nullptr : bias.data(),
       DType::kF32},
      y.tensor(), codes.data());
}

void fp8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                std::span<const std::uint8_t> w, const QuantParams& w_params,
                const GemmShape& shape, ConstTensorView bias, TensorView y,
                const HostOptions& options) {
  if (y.dtype() == DType::kF64) throw_invalid("y.dtype()", "F64", "F32, BF16 or F16");
  check_outputs(shape, y);
  const LinearArguments arguments(x, x_params, w, w_params, false, shape, bias, y.dtype(), {"y", y},
                                  options);
  options.backend.operations().fp8_linear(
      {x.data(), x_params.quantizer.format, w.data(), w_params.quantizer.format, shape,
       arguments.x(), arguments.w(), bias.count() == 0 ? nullptr : bias.data(), y.dtype(),
       arguments.num_threads()},
      y.data());
}

void gemm(ConstTensorView a, Transpose of_a, ConstTensorView b, Transpose of_b, TensorView y,
          const HostOptions& options) {
  multiply({"a", a}, of_a, {"b", b}, of_b, {}, y, options);
}

void linear(ConstTensorView x, ConstTensorView w, ConstTensorView bias, TensorView y,
            const HostOptions& options) {
  multiply({"x", x}, Transpose::kNo, {"w", w}, Transpose::kYes, bias, y, options);
}

}  // namespace cuqat
