#include "host/gemm_arguments.hpp"

#include <cstring>
#include <string>
#include <string_view>

#include "host/enumerators.hpp"

namespace cuqat::detail {

void check_gemm_shape(const GemmShape& shape) {
  const auto check = [](std::string_view name, std::int64_t extent) {
    if (extent < 0) throw_invalid(name, text(extent), "at least 0");
  };
  check("shape.m", shape.m);
  check("shape.n", shape.n);
  check("shape.k", shape.k);
  static_cast<void>(Shape{shape.m, shape.k});
  static_cast<void>(Shape{shape.n, shape.k});
  static_cast<void>(Shape{shape.m, shape.n});
}

GemmShape check_gemm(const NamedMatrix& a, Transpose of_a, const NamedMatrix& b, Transpose of_b,
                     ConstTensorView y) {
  check_enumerator("of_" + a.name, of_a, Transpose::kYes);
  check_enumerator("of_" + b.name, of_b, Transpose::kYes);
  check_matrix(a.name, a.view);
  check_matrix(b.name, b.view);
  check_matrix("y", y);
  const DType dtype = a.view.dtype();
  const std::string of_dtype = a.name + "'s, " + std::string(to_string(dtype));
  if (b.view.dtype() != dtype) {
    throw_invalid(b.name + ".dtype()", to_string(b.view.dtype()), of_dtype);
  }
  const bool is_wider = dtype != DType::kF64 && y.dtype() == DType::kF32;
  if (y.dtype() != dtype && !is_wider) {
    throw_invalid("y.dtype()", to_string(y.dtype()), of_dtype + ", or F32 where that is wider");
  }
  const bool a_transposed = of_a == Transpose::kYes;
  const bool b_transposed = of_b == Transpose::kYes;
  const GemmShape shape{a.view.shape()[a_transposed ? 1 : 0], b.view.shape()[b_transposed ? 0 : 1],
                        a.view.shape()[a_transposed ? 0 : 1]};
  const std::int64_t depth_of_b = b.view.shape()[b_transposed ? 1 : 0];
  if (depth_of_b != shape.k) {
    throw_invalid("the summed extent of " + b.name, text(depth_of_b),
                  "that of " + a.name + ", " + text(shape.k));
  }
  const Shape outputs{shape.m, shape.n};
  if (y.shape() != outputs) throw_invalid("y.shape()", text(y.shape()), "[m, n], " + text(outputs));
  check_disjoint({"y", y}, {a.name, a.view});
  check_disjoint({"y", y}, {b.name, b.view});
  return shape;
}

void check_bias(ConstTensorView bias, std::int64_t n, DType y_dtype, const Region& outputs) {
  if (bias.count() == 0) return;
  check_view("bias", bias);
  const DType compute = compute_type(y_dtype);
  if (bias.dtype() != compute) {
    throw_invalid("bias.dtype()", to_string(bias.dtype()),
                  std::string(to_string(compute)) + ", the compute type of y");
  }
  check_size("bias", static_cast<std::size_t>(bias.count()), static_cast<std::size_t>(n),
             "one for each output, or none");
  check_disjoint(outputs, {"bias", bias});
}

void check_output_quantizer(const Quantizer& quantizer, const Granularity& granularity) {
  check_quantizer("y_params.quantizer", quantizer);
  if (!is_integer(quantizer.format)) {
    throw_invalid("y_params.quantizer.format", to_string(quantizer.format), "int8 or int4");
  }
  if (granularity.kind != Granularity::Kind::kTensor) {
    throw_invalid("y_params.granularity", "another", "tensor");
  }
}

std::vector<std::byte> ones_of(DType dtype, std::int64_t count) {
  std::vector<std::byte> ones(static_cast<std::size_t>(count) * dtype_bytes(dtype));
  const auto fill = [&](auto one) {
    for (std::size_t at = 0; at < ones.size(); at += sizeof(one)) {
      std::memcpy(ones.data() + at, &one, sizeof(one));
    }
  };
  switch (dtype) {
    case DType::kF32:
      fill(1.0f);
      break;
    case DType::kF64:
      fill(1.0);
      break;
    case DType::kF16:
      fill(float16{0x3c00});
      break;
    case DType::kBF16:
      fill(bfloat16{0x3f80});
      break;
  }
  return ones;
}

}  // namespace cuqat::detail
