#include "host/arguments.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "host/enumerators.hpp"

namespace cuqat::detail {

namespace {

std::string indexed(std::string_view name, std::size_t index) {
  return std::string(name) + "[" + std::to_string(index) + "]";
}

bool overlap(const Region& a, const Region& b) {
  const auto a_begin = reinterpret_cast<std::uintptr_t>(a.data);
  const auto b_begin = reinterpret_cast<std::uintptr_t>(b.data);
  return a.bytes != 0 && b.bytes != 0 && a_begin < b_begin + b.bytes && b_begin < a_begin + a.bytes;
}

}  // namespace

std::string text(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string text(const Shape& shape) {
  std::string result = "[";
  for (const std::int64_t extent : shape.extents()) {
    if (result.size() > 1) result += ", ";
    result += std::to_string(extent);
  }
  return result + "]";
}

void throw_invalid(std::string_view argument, std::string_view value, std::string_view limit) {
  std::string message(argument);
  message.append(" is ").append(value).append("; it must be ").append(limit);
  throw InvalidArgument(message);
}

void check_view(std::string_view name, ConstTensorView view) {
  check_enumerator(std::string(name) + ".dtype()", view.dtype(), DType::kBF16);
  const std::size_t most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) /
                           dtype_bytes(view.dtype());
  if (static_cast<std::size_t>(view.count()) > most) {
    throw_invalid(std::string(name) + ".count()", text(view.count()),
                  "at most " + text(most) + " for " + std::string(to_string(view.dtype())));
  }
  if (view.count() > 0 && view.data() == nullptr) {
    throw_invalid(std::string(name) + ".data()", "null",
                  "an address, for the shape " + text(view.shape()));
  }
}

void check_matrix(std::string_view name, ConstTensorView view) {
  check_view(name, view);
  if (view.shape().rank() == 2) return;
  throw_invalid(std::string(name) + ".shape()", text(view.shape()), "of rank 2");
}

namespace {

void check_shape(std::string_view name, ConstTensorView view, const Shape& expected,
                 std::string_view whose) {
  check_matrix(name, view);
  if (view.shape() == expected) return;
  throw_invalid(std::string(name) + ".shape()", text(view.shape()),
                text(expected) + ", " + std::string(whose));
}

}  // namespace

void check_compared_products(ConstTensorView x, ConstTensorView w, ConstTensorView xq,
                             ConstTensorView wq) {
  check_matrix("x", x);
  check_matrix("w", w);
  check_shape("xq", xq, x.shape(), "as x");
  check_shape("wq", wq, w.shape(), "as w");
  check_shape("w", w, {w.shape()[0], x.shape()[1]}, "as many inputs as x");
}

void check_alike(std::string_view name, ConstTensorView view, std::string_view other_name,
                 ConstTensorView other) {
  const std::string of_other = " of " + std::string(other_name);
  if (view.dtype() != other.dtype()) {
    throw_invalid(std::string(name) + ".dtype()", to_string(view.dtype()),
                  "the dtype" + of_other + ", " + std::string(to_string(other.dtype())));
  }
  if (view.shape() != other.shape()) {
    throw_invalid(std::string(name) + ".shape()", text(view.shape()),
                  "the shape" + of_other + ", " + text(other.shape()));
  }
  check_view(name, view);
}

void check_size(std::string_view name, std::size_t size, std::size_t expected,
                std::string_view why) {
  if (size == expected) return;
  throw_invalid(std::string(name) + ".size()", text(size),
                text(expected) + ", " + std::string(why));
}

void check_percentile(std::string_view name, double p) {
  if (!(p >= 0.0 && p <= 100.0)) throw_invalid(name, text(p), "in [0, 100]");
}

void check_codes(std::size_t codes_size, std::int64_t count, Format format, CodeLayout layout) {
  check_enumerator("layout", layout, CodeLayout::kNibbles);
  if (layout == CodeLayout::kNibbles && format != Format::kInt4) {
    throw_invalid("layout", "kNibbles",
                  "kBytes, as the format is " + std::string(to_string(format)) + " and not int4");
  }
  check_size("codes", codes_size, codes_bytes(count, layout), "as codes_bytes says");
}

void check_quantizer(std::string_view name, const Quantizer& quantizer) {
  check_enumerator(std::string(name) + ".format", quantizer.format, Format::kE5M2);
  check_enumerator(std::string(name) + ".rounding", quantizer.rounding, Rounding::kOriginal);
  if (is_integer(quantizer.format) || quantizer.rounding != Rounding::kOriginal) return;
  throw_invalid(std::string(name) + ".rounding", to_string(quantizer.rounding),
                "nearest-even, as the format is " + std::string(to_string(quantizer.format)));
}

void check_dynamic(const DynamicQuantization& how) {
  check_quantizer("how.quantizer", how.quantizer);
  if (how.symmetric || is_integer(how.quantizer.format)) return;
  throw_invalid("how.symmetric", "false",
                "true, as " + std::string(to_string(how.quantizer.format)) + " has no zero point");
}

void check_disjoint(const Region& output, const Region& other) {
  if (!overlap(output, other)) return;
  const std::string other_name(other.name);
  throw_invalid(output.name, "in memory that " + other_name + " uses", "apart from " + other_name);
}

void check_apart(std::initializer_list<Region> outputs, std::initializer_list<Region> inputs) {
  for (const Region* output = outputs.begin(); output != outputs.end(); ++output) {
    for (const Region* other = output + 1; other != outputs.end(); ++other) {
      check_disjoint(*output, *other);
    }
    for (const Region& input : inputs) check_disjoint(*output, input);
  }
}

void check_in_place_or_disjoint(const Region& output, const Region& input) {
  if (output.data == input.data || !overlap(output, input)) return;
  const std::string input_name(input.name);
  throw_invalid(output.name, "in memory that " + input_name + " uses",
                input_name + " itself or apart from it");
}

void check_transposed_codes(ConstTensorView x, std::span<const std::uint8_t> codes,
                            std::span<const std::uint8_t> codes_transposed) {
  if (x.shape().rank() != 2) throw_invalid("x.shape()", text(x.shape()), "of rank 2");
  constexpr std::string_view kWhy = "one code for each element";
  const auto count = static_cast<std::size_t>(x.count());
  if (!codes.empty()) check_size("codes", codes.size(), count, kWhy);
  check_size("codes_transposed", codes_transposed.size(), count, kWhy);
  check_disjoint({"codes", codes}, {"x", x});
  check_disjoint({"codes_transposed", codes_transposed}, {"x", x});
  check_disjoint({"codes_transposed", codes_transposed}, {"codes", codes});
}

ScaledTensor make_unscaled_tensor(ConstTensorView x, const Granularity& granularity,
                                  const HostOptions& options) {
  check_view("x", x);
  ScaledTensor tensor;
  tensor.dtype = x.dtype();
  tensor.shape = x.shape();
  tensor.granularity = resolve_axis(granularity, x.shape());
  tensor.num_scales = num_scales(tensor.granularity, x.shape());
  tensor.num_threads = cuqat::num_threads(options);
  return tensor;
}

ScaledArguments::ScaledArguments(ConstTensorView x, const QuantParams& params,
                                 const HostOptions& options, std::string_view name)
    : tensor_(make_unscaled_tensor(x, params.granularity, options)) {
  tensor_.quantizer = params.quantizer;
  check_quantizer(std::string(name) + ".quantizer", params.quantizer);
  set_scale(params, std::string(name) + ".scale");
  set_zero_point(params, std::string(name) + ".zero_point");
}

void ScaledArguments::set_scale(const QuantParams& params, const std::string& name) {
  check_size(name, params.scale.size(), static_cast<std::size_t>(tensor_.num_scales),
             "one for each scale of the granularity");
  const DType compute = compute_type(tensor_.dtype);
  const auto in_range = [](auto scale) { return std::isfinite(scale) && scale > 0; };
  if (compute == DType::kF32) narrow_scale_.reserve(params.scale.size());
  for (std::size_t i = 0; i < params.scale.size(); ++i) {
    const double scale = params.scale[i];
    const auto narrow = static_cast<float>(scale);
    if (compute == DType::kF32 ? !in_range(narrow) : !in_range(scale)) {
      throw_invalid(indexed(name, i), text(scale),
                    "positive and finite in " + std::string(to_string(compute)));
    }
    if (compute == DType::kF32) narrow_scale_.push_back(narrow);
  }
  tensor_.scale = compute == DType::kF32 ? static_cast<const void*>(narrow_scale_.data())
                                         : static_cast<const void*>(params.scale.data());
}

void ScaledArguments::set_zero_point(const QuantParams& params, const std::string& name) {
  if (params.zero_point.empty()) {
    // Never empty: a table's zero points are never null.
    no_zero_point_.resize(std::max<std::size_t>(params.scale.size(), 1));
    tensor_.zero_point = no_zero_point_.data();
    return;
  }
  check_size(name, params.zero_point.size(), static_cast<std::size_t>(tensor_.num_scales),
             "one for each scale of the granularity, or 0");
  const Quantizer& quantizer = params.quantizer;
  const bool integer = is_integer(quantizer.format);
  const int least = integer ? qmin(quantizer) : 0;
  const int largest = integer ? qmax(quantizer) : 0;
  const bool any = integer && quantizer.rounding == Rounding::kOriginal;
  for (std::size_t i = 0; i < params.zero_point.size(); ++i) {
    const std::int32_t zero_point = params.zero_point[i];
    if (any || (zero_point >= least && zero_point <= largest)) continue;
    throw_invalid(
        indexed(name, i), text(zero_point),
        (integer ? "in [" + text(least) + ", " + text(largest) + "] for " : std::string("0 for ")) +
            std::string(to_string(quantizer.format)));
  }
  tensor_.zero_point = params.zero_point.data();
}

}  // namespace cuqat::detail
