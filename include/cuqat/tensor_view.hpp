// Non-owning views of contiguous, row-major tensors in host or device memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <type_traits>

#include "cuqat/error.hpp"
#include "cuqat/format.hpp"

namespace cuqat {

/// Extents of a tensor, outermost first. At most kMaxRank of them; the element count is checked
/// against overflow when the shape is made.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  /// A scalar: rank 0, one element.
  constexpr Shape() = default;

  /// @throws InvalidArgument for a negative extent, a rank above kMaxRank, or where the product
  ///         of the extents other than 0 exceeds 2^63 - 1.
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  [[nodiscard]] constexpr int rank() const noexcept { return rank_; }
  [[nodiscard]] constexpr std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] constexpr std::int64_t operator[](int axis) const noexcept {
    return extents_[static_cast<std::size_t>(axis)];
  }
  [[nodiscard]] constexpr std::span<const std::int64_t> extents() const noexcept {
    return {extents_.data(), static_cast<std::size_t>(rank_)};
  }

  friend constexpr bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  std::int64_t count_ = 1;
};

/// Where a tensor lies.
enum class MemorySpace : std::uint8_t { kHost, kDevice };

/// Elements of one DType at any byte address (no alignment is asked for), contiguous, row-major.
/// Views of host and of device memory are different types: neither passes for the other.
template <bool IsConst, MemorySpace kSpace>
class BasicTensorView {
 public:
  using Pointer = std::conditional_t<IsConst, const void*, void*>;

  /// No elements.
  BasicTensorView() : shape_{0} {}

  constexpr BasicTensorView(Pointer data, DType dtype, const Shape& shape) noexcept
      : data_(data), dtype_(dtype), shape_(shape) {}

  /// From a typed pointer; T is float, double, float16 or bfloat16.
  template <typename T>
  requires(!std::is_void_v<T> && (IsConst || !std::is_const_v<T>))
      BasicTensorView(T* data, const Shape& shape)
  noexcept : data_(data), dtype_(dtype_of<std::remove_const_t<T>>), shape_(shape) {}

  /// From a span, vector or array in host memory, as a tensor of rank 1.
  template <typename Range>
  requires(kSpace == MemorySpace::kHost) &&
      std::ranges::contiguous_range<Range>&& std::ranges::sized_range<Range> &&
      (IsConst || !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>)
          BasicTensorView(Range&& data)  // NOLINT(google-explicit-constructor)
      : BasicTensorView(std::ranges::data(data),
                        Shape{static_cast<std::int64_t>(std::ranges::size(data))}) {}

  /// A mutable view is also a view to read.
  template <bool OtherConst>
  requires(IsConst &&
           !OtherConst) constexpr BasicTensorView(  // NOLINT(google-explicit-constructor)
      const BasicTensorView<OtherConst, kSpace>& other) noexcept
      : data_(other.data()), dtype_(other.dtype()), shape_(other.shape()) {}

  [[nodiscard]] constexpr Pointer data() const noexcept { return data_; }
  [[nodiscard]] constexpr DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] constexpr const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] constexpr std::int64_t count() const noexcept { return shape_.count(); }
  [[nodiscard]] constexpr std::size_t size_bytes() const noexcept {
    return static_cast<std::size_t>(shape_.count()) * dtype_bytes(dtype_);
  }

 private:
  Pointer data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

using TensorView = BasicTensorView<false, MemorySpace::kHost>;
using ConstTensorView = BasicTensorView<true, MemorySpace::kHost>;
using DeviceTensorView = BasicTensorView<false, MemorySpace::kDevice>;
using ConstDeviceTensorView = BasicTensorView<true, MemorySpace::kDevice>;

/// `size` objects in device memory, which somebody else owns.
template <typename T>
class DeviceSpan {
 public:
  constexpr DeviceSpan() noexcept = default;
  constexpr DeviceSpan(T* data, std::int64_t size) noexcept : data_(data), size_(size) {}
  /// A span to write is also one to read.
  template <typename Mutable>
  requires(std::is_same_v<const Mutable, T> && !std::is_const_v<Mutable>)
      DeviceSpan(  // NOLINT(google-explicit-constructor)
          const DeviceSpan<Mutable>& other)
  noexcept : data_(other.data()), size_(other.size()) {}

  [[nodiscard]] constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] constexpr std::int64_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace cuqat
