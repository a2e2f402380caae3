// What a tensor holds (DType), what it is quantized to (Format), and how (Quantizer).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cuqat/host_device.hpp"

namespace cuqat {

/// Element type of a tensor of real numbers.
enum class DType : std::uint8_t { kF32, kF64, kF16, kBF16 };

/// Storage of one bfloat16: the upper half of an IEEE binary32. Same layout as __nv_bfloat16.
struct bfloat16 {
  std::uint16_t bits;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;
};

/// Storage of one IEEE binary16. Same layout as __half.
struct float16 {
  std::uint16_t bits;
  friend constexpr bool operator==(float16, float16) = default;
};

/// Formats that a tensor is quantized to. E4M3 is the OCP "fn" encoding: no infinity, largest 448.
enum class Format : std::uint8_t { kInt8, kInt4, kE4M3, kE5M2 };

/// Rounding convention of the integer formats.
/// kNearestEven: clamp(rint(x / s) + z), ties to even (ONNX, PyTorch, TensorRT).
/// kOriginal:    clamp(round_half_away(x / s + z)), the convention of cuqat::original.
enum class Rounding : std::uint8_t { kNearestEven, kOriginal };

/// How one element is quantized, apart from its scale and zero point.
struct Quantizer {
  Format format = Format::kInt8;
  /// Integer formats only; with E4M3 and E5M2 it must be kNearestEven.
  Rounding rounding = Rounding::kNearestEven;
  /// Integer formats only: codes in [-127, 127] or [-7, 7], as symmetric quantization uses them,
  /// instead of [-128, 127] or [-8, 7].
  bool narrow_range = false;
  /// E4M3 and E5M2 only: values past the largest finite one give it (true), or NaN (E4M3) and
  /// infinity (E5M2) as a cast without saturation does (false).
  bool saturate = true;

  friend constexpr bool operator==(const Quantizer&, const Quantizer&) = default;
};

CUQAT_HD constexpr bool is_integer(Format format) noexcept {
  return format == Format::kInt8 || format == Format::kInt4;
}

/// Least code of an integer format, or minus the largest finite value of an FP8 format.
CUQAT_HD constexpr int qmin(const Quantizer& q) noexcept {
  switch (q.format) {
    case Format::kInt8:
      return q.narrow_range ? -127 : -128;
    case Format::kInt4:
      return q.narrow_range ? -7 : -8;
    case Format::kE4M3:
      return -448;
    case Format::kE5M2:
      return -57344;
  }
  return 0;
}

/// Largest code of an integer format, or the largest finite value of an FP8 format.
CUQAT_HD constexpr int qmax(const Quantizer& q) noexcept {
  switch (q.format) {
    case Format::kInt8:
      return 127;
    case Format::kInt4:
      return 7;
    case Format::kE4M3:
      return 448;
    case Format::kE5M2:
      return 57344;
  }
  return 0;
}

CUQAT_HD constexpr std::size_t dtype_bytes(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF64:
      return 8;
    case DType::kF16:
    case DType::kBF16:
      return 2;
  }
  return 0;
}

/// "F32", "F64", "F16", "BF16": the names that safetensors uses.
constexpr std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF64:
      return "F64";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
  }
  return "unknown";
}

/// "int8", "int4", "e4m3", "e5m2".
constexpr std::string_view to_string(Format format) noexcept {
  switch (format) {
    case Format::kInt8:
      return "int8";
    case Format::kInt4:
      return "int4";
    case Format::kE4M3:
      return "e4m3";
    case Format::kE5M2:
      return "e5m2";
  }
  return "unknown";
}

/// "nearest-even", "original".
constexpr std::string_view to_string(Rounding rounding) noexcept {
  switch (rounding) {
    case Rounding::kNearestEven:
      return "nearest-even";
    case Rounding::kOriginal:
      return "original";
  }
  return "unknown";
}

/// DType of a C++ element type: dtype_of<float>, <double>, <float16>, <bfloat16>.
template <typename T>
inline constexpr DType dtype_of = T::has_no_cuqat_dtype;
template <>
inline constexpr DType dtype_of<float> = DType::kF32;
template <>
inline constexpr DType dtype_of<double> = DType::kF64;
template <>
inline constexpr DType dtype_of<float16> = DType::kF16;
template <>
inline constexpr DType dtype_of<bfloat16> = DType::kBF16;

}  // namespace cuqat
