// Checks that the public functions share. All of them throw InvalidArgument, before any work.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"
#include "host/operation_table.hpp"

namespace cuqat::detail {

/// A value as a message shows it. Floating point: the shortest text that reads back the same.
std::string text(double value);
std::string text(const Shape& shape);
std::string text(std::integral auto value) { return std::to_string(value); }

/// Throws "<argument> is <value>; it must be <limit>".
[[noreturn]] void throw_invalid(std::string_view argument, std::string_view value,
                                std::string_view limit);

/// The compute type of a dtype.
constexpr DType compute_type(DType dtype) noexcept {
  return dtype == DType::kF64 ? DType::kF64 : DType::kF32;
}

/// Memory, and elements that can exist in memory.
void check_view(std::string_view name, ConstTensorView view);

/// A view of rank 2.
void check_matrix(std::string_view name, ConstTensorView view);

/// Products x w^T and xq wq^T of the same shapes.
void check_compared_products(ConstTensorView x, ConstTensorView w, ConstTensorView xq,
                             ConstTensorView wq);

/// A view that must be like another one.
void check_alike(std::string_view name, ConstTensorView view, std::string_view other_name,
                 ConstTensorView other);

/// A span's length. `why` completes "it must be <expected>, ".
void check_size(std::string_view name, std::size_t size, std::size_t expected,
                std::string_view why);

/// Percentiles are in [0, 100].
void check_percentile(std::string_view name, double p);

/// kNibbles is for int4 alone, and the codes must be as many as the tensor's elements.
void check_codes(std::size_t codes_size, std::int64_t count, Format format, CodeLayout layout);

/// kOriginal is for integers.
void check_quantizer(std::string_view name, const Quantizer& quantizer);

/// The quantizer's, and FP8 has no zero points.
void check_dynamic(const DynamicQuantization& how);

/// The codes of a matrix and of its transpose, apart from x and from each other. `codes` may be
/// empty.
void check_transposed_codes(ConstTensorView x, std::span<const std::uint8_t> codes,
                            std::span<const std::uint8_t> codes_transposed);

/// An argument's bytes.
struct Region {
  std::string_view name;
  const void* data = nullptr;
  std::size_t bytes = 0;

  Region(std::string_view argument, ConstTensorView view)
      : name(argument), data(view.data()), bytes(view.size_bytes()) {}
  template <typename T, std::size_t kExtent>
  Region(std::string_view argument, std::span<T, kExtent> span)
      : name(argument), data(span.data()), bytes(span.size_bytes()) {}
};

/// The output must not share a byte with `other`.
void check_disjoint(const Region& output, const Region& other);

/// No output shares a byte with another, or with an input. (In place is checked apart.)
void check_apart(std::initializer_list<Region> outputs, std::initializer_list<Region> inputs);

/// The output must not share a byte with `input`, unless it is the input itself.
void check_in_place_or_disjoint(const Region& output, const Region& input);

/// A tensor without scales, for the operations that only need to know what shares one.
ScaledTensor make_unscaled_tensor(ConstTensorView x, const Granularity& granularity,
                                  const HostOptions& options);

/// Checked parameters over a tensor, and the memory of the scales in the compute type. It refers to
/// the QuantParams that it was made from.
class ScaledArguments {
 public:
  /// `name` is the parameters'.
  ScaledArguments(ConstTensorView x, const QuantParams& params, const HostOptions& options,
                  std::string_view name = "params");
  ScaledArguments(const ScaledArguments&) = delete;
  ScaledArguments& operator=(const ScaledArguments&) = delete;

  [[nodiscard]] const ScaledTensor& tensor() const noexcept { return tensor_; }

 private:
  void set_scale(const QuantParams& params, const std::string& name);
  void set_zero_point(const QuantParams& params, const std::string& name);

  ScaledTensor tensor_;
  std::vector<float> narrow_scale_;
  std::vector<std::int32_t> no_zero_point_;
};

}  // namespace cuqat::detail
