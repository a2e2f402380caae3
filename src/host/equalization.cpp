#include "cuqat/equalization.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "cuqat/scalar/equalization_factor.hpp"
#include "cuqat/scalar/half.hpp"
#include "host/arguments.hpp"

namespace cuqat {
namespace {

void scale_channels(ConstTensorView x, int axis, std::span<const double> factors, TensorView y,
                    bool divides, const HostOptions& options) {
  QuantParams params;
  params.granularity = Granularity::channel(axis);
  params.scale.assign(factors.begin(), factors.end());
  detail::check_alike("y", y, "x", x);
  detail::check_in_place_or_disjoint({"y", y}, {"x", x});
  detail::check_size("factors", factors.size(),
                     static_cast<std::size_t>(num_scales(params.granularity, x.shape())),
                     "one for each index of the axis");
  const DType compute = detail::compute_type(x.dtype());
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double factor =
        compute == DType::kF64 ? factors[i] : static_cast<double>(static_cast<float>(factors[i]));
    if (std::isfinite(factor) && factor > 0.0) continue;
    detail::throw_invalid("factors[" + detail::text(i) + "]", detail::text(factors[i]),
                          "positive and finite in " + std::string(to_string(compute)));
  }
  const detail::ScaledArguments arguments(x, params, options);
  options.backend.operations().scale_elements(arguments.tensor(), x.data(), y.data(), divides);
}

double number(ConstTensorView x, std::int64_t i) {
  const auto at = [&]<typename T>(T value) {
    std::memcpy(&value, static_cast<const std::byte*>(x.data()) + i * std::int64_t{sizeof(T)},
                sizeof(T));
    return static_cast<double>(scalar::load_compute(value));
  };
  switch (x.dtype()) {
    case DType::kF64:
      return at(double{});
    case DType::kF32:
      return at(float{});
    case DType::kF16:
      return at(float16{});
    case DType::kBF16:
      return at(bfloat16{});
  }
  return 0.0;
}

std::vector<double> numbers(ConstTensorView x) {
  std::vector<double> result(static_cast<std::size_t>(x.count()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = number(x, static_cast<std::int64_t>(i));
  }
  return result;
}

std::vector<double> transposed_numbers(ConstTensorView x) {
  const std::int64_t rows = x.shape()[0];
  const std::int64_t columns = x.shape()[1];
  std::vector<double> result(static_cast<std::size_t>(x.count()));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      result[static_cast<std::size_t>(column * rows + row)] = number(x, row * columns + column);
    }
  }
  return result;
}

}  // namespace

std::vector<double> equalization_factors(std::span<const Statistics> activations,
                                         std::span<const Statistics> weights, double alpha) {
  detail::check_size("weights", weights.size(), activations.size(), "as many as activations");
  if (!(alpha >= 0.0 && alpha <= 1.0)) {
    detail::throw_invalid("alpha", detail::text(alpha), "in [0, 1]");
  }
  std::vector<double> factors;
  factors.reserve(activations.size());
  for (std::size_t i = 0; i < activations.size(); ++i) {
    factors.push_back(
        double{scalar::equalization_factor(activations[i].amax(), weights[i].amax(), alpha)});
  }
  return factors;
}

void divide_channels(ConstTensorView x, int axis, std::span<const double> factors, TensorView y,
                     const HostOptions& options) {
  scale_channels(x, axis, factors, y, true, options);
}

void multiply_channels(ConstTensorView x, int axis, std::span<const double> factors, TensorView y,
                       const HostOptions& options) {
  scale_channels(x, axis, factors, y, false, options);
}

double output_error(ConstTensorView x, ConstTensorView w, ConstTensorView xq, ConstTensorView wq,
                    const HostOptions& options) {
  detail::check_compared_products(x, w, xq, wq);
  const std::vector<double> left = numbers(x);
  const std::vector<double> left_quantized = numbers(xq);
  const std::vector<double> right = transposed_numbers(w);
  const std::vector<double> right_quantized = transposed_numbers(wq);
  double error = 0.0;
  double signal = 0.0;
  options.backend.operations().product_error(
      {left.data(), left_quantized.data(), right.data(), right_quantized.data(), x.shape()[0],
       x.shape()[1], w.shape()[0], num_threads(options)},
      &error, &signal);
  const double relative = error == 0.0 ? 0.0 : error / signal;
  return std::isnan(relative) ? std::numeric_limits<double>::quiet_NaN() : relative;
}

}  // namespace cuqat
