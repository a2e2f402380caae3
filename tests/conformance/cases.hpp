// The cases that every backend is compared with the reference on.
#pragma once

#include <cstdint>
#include <vector>

#include "support/sanitizer.hpp"
#include "support/scaled_case.hpp"

namespace cuqat::test {

enum class Family : std::uint8_t { kTensor, kChannel, kGroup };

constexpr const char* to_string(Family family) {
  return family == Family::kTensor ? "tensor" : family == Family::kChannel ? "channel" : "group";
}

inline constexpr Format kFormats[] = {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2};
inline constexpr DType kDTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16};

/// Every rounding, range and saturation that the format has.
std::vector<Quantizer> quantizers(Format format);

/// What CUQAT_CASE_STRIDE says, or else 23 under ThreadSanitizer, 5 under others and 1 without.
std::size_t case_stride();

/// Tests take every kCaseStride-th case, and of sweeps of their own every kSweepStride-th.
inline const std::size_t kCaseStride = case_stride();
inline const std::int64_t kSweepStride = kCaseStride > 1 ? 7 : 1;

/// Says so where cases are left out.
void print_case_stride();

std::vector<ScaledCase> cases(Format format, DType dtype, Family family);

/// Matrices around the sizes of vectors, blocks and tiles, with every format and granularity in
/// turn.
std::vector<ScaledCase> matrix_cases(DType dtype);

}  // namespace cuqat::test
