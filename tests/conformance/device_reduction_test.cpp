// Reductions per scale past what the shapes of the agreement tests reach: several chunks of a
// strip.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"
#include "support/device_orders.hpp"
#include "support/device_table.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kChunk = 4096;

constexpr Operation kLearnedScale = kOperations[5];
constexpr Operation kStatistics = kOperations[6];

void expect_agreement(const Operation& operation, const ScaledCase& test_case) {
  const CaseData data(test_case);
  const Outputs expected = operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
  for (const int order : {0, 1, num_device_orders() - 2}) {
    set_device_order(order);
    const Outputs actual = operation.run(device_table(), data, {});
    ASSERT_EQ(device_fault(), "");
    ASSERT_EQ(first_difference(expected, actual), "")
        << operation.name << ", " << test_case << ", order " << device_order_name(order);
  }
}

class DeviceReduction : public testing::TestWithParam<DType> {};

TEST_P(DeviceReduction, OfStripsOfSeveralChunks) {
  for (const Shape& shape : {Shape{kChunk + 3, 35}, Shape{2 * kChunk + 9, 16}, Shape{33, 65}}) {
    for (const Operation& operation : {kLearnedScale, kStatistics}) {
      for (const Format format : {Format::kInt8, Format::kE4M3}) {
        expect_agreement(operation, {{.format = format},
                                     GetParam(),
                                     shape,
                                     Granularity::channel(1),
                                     DataKind::kMixed,
                                     1,
                                     7});
      }
    }
  }
}

TEST_P(DeviceReduction, OfMoreChunksThanLanes) {
  const Shape shape{33 * kChunk + 1};
  expect_agreement(kLearnedScale, {{}, GetParam(), shape, {}, DataKind::kMixed, 1, 8});
  expect_agreement(
      kStatistics,
      {{}, GetParam(), {3, 11 * kChunk + 7, 5}, Granularity::channel(0), DataKind::kMixed, 1, 9});
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceReduction, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
