// Tensors may start at any byte: every operation at every offset and every short length.
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <tuple>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"

namespace cuqat::test {
namespace {

using Parameter = std::tuple<DType, Table>;

std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  const auto& [dtype, table] = info.param;
  return test_name(table) + "_" + test_name(std::string(to_string(dtype)));
}

class Alignment : public testing::TestWithParam<Parameter> {};

TEST_P(Alignment, ChangesNoBitAtAnyOffsetAndLength) {
  const auto& [dtype, table] = GetParam();
  constexpr std::int64_t kLengths = 68;
  constexpr std::int64_t kStep = kSanitized ? 3 : 1;
  if (kStep > 1) std::cout << "[ sample   ] every 3rd length: this is a sanitizer build\n";
  for (const Operation& operation : kOperations) {
    for (std::int64_t length = 0; length < kLengths; length += kStep) {
      const Format format = kFormats[length % 4];
      const Quantizer quantizer = quantizers(format)[static_cast<std::size_t>(length / 4) % 2];
      const Granularity granularity =
          length / 4 % 3 == 2 ? Granularity::group(5) : Granularity::tensor();
      const CaseData data({quantizer, dtype, Shape{length}, granularity, DataKind::kMixed, 1,
                           static_cast<std::uint64_t>(length)});
      const Outputs expected =
          operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
      for (std::size_t offset = 0; offset < 16; ++offset) {
        // Both alike, and one against the other.
        for (const std::size_t other : {offset, (5 * offset + 3) % 16, std::size_t{0}}) {
          const Outputs actual = operation.run(table, data, {offset, other});
          ASSERT_EQ(first_difference(expected, actual), "")
              << operation.name << ", " << data.parameters() << ", offsets " << offset << " and "
              << other;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryBackend, Alignment,
                         testing::Combine(testing::ValuesIn(kDTypes),
                                          testing::ValuesIn(fast_tables())),
                         name_of);

}  // namespace
}  // namespace cuqat::test
