// The executor's cuda_fp8.h does what the toolkit's does on the host, NaN codes included.
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "toolkit_fp8.hpp"

namespace {

using simt::toolkit::Fp8;

__nv_fp8_interpretation_t interpretation(Fp8 format) {
  return format == Fp8::kE4M3 ? __NV_E4M3 : __NV_E5M2;
}

class ToolkitFp8 : public testing::TestWithParam<Fp8> {};

TEST_P(ToolkitFp8, EncodesAlike) {
  const auto expect_alike = [](std::uint32_t pattern) {
    const auto low = std::bit_cast<float>(pattern);
    const auto high = std::bit_cast<float>(pattern * 2654435761u);
    ASSERT_EQ(__nv_cvt_float2_to_fp8x2({low, high}, __NV_SATFINITE, interpretation(GetParam())),
              simt::toolkit::fp8_pair(low, high, GetParam()))
        << std::hex << pattern << ": " << low << " and " << high;
  };
  // A sample with all exponents, and the neighbours of every number with a bf16's bits: numbers of
  // the formats and ties between them are among these.
  for (std::uint64_t pattern = 0; pattern < 0x1'0000'0000u; pattern += 251) {
    expect_alike(static_cast<std::uint32_t>(pattern));
    if (HasFatalFailure()) return;
  }
  for (std::uint32_t upper = 0; upper < 0x1'0000u; ++upper) {
    for (const std::uint32_t step : {0xffff'ffffu, 0u, 1u}) expect_alike((upper << 16) + step);
    if (HasFatalFailure()) return;
  }
}

TEST_P(ToolkitFp8, DecodesAlike) {
  for (std::uint32_t pair = 0; pair < 0x1'0000u; ++pair) {
    const auto codes = static_cast<__nv_fp8x2_storage_t>(pair);
    const float2 ours =
        __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(codes, interpretation(GetParam()))));
    const auto theirs = simt::toolkit::numbers_of(codes, GetParam());
    ASSERT_TRUE(std::isnan(ours.x) ? std::isnan(theirs[0])
                                   : std::bit_cast<std::uint32_t>(ours.x) ==
                                         std::bit_cast<std::uint32_t>(theirs[0]))
        << std::hex << pair << ": " << ours.x << " and " << theirs[0];
    ASSERT_TRUE(std::isnan(ours.y) ? std::isnan(theirs[1])
                                   : std::bit_cast<std::uint32_t>(ours.y) ==
                                         std::bit_cast<std::uint32_t>(theirs[1]))
        << std::hex << pair << ": " << ours.y << " and " << theirs[1];
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, ToolkitFp8, testing::Values(Fp8::kE4M3, Fp8::kE5M2),
                         [](const auto& format) {
                           return format.param == Fp8::kE4M3 ? "E4M3" : "E5M2";
                         });

}  // namespace
