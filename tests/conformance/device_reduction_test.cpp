// Reductions per scale past what the shapes and data of the agreement tests reach: several chunks
// of a strip, chunks full of one value.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/device_table.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kChunk = 4096;

constexpr Operation kLearnedScale = kOperations[5];
constexpr Operation kStatistics = kOperations[6];
constexpr Operation kQuantizationError = kOperations[7];

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

/// Mixed elements have gradients that are NaN, and so is every sum of many of them: what tells of
/// the order in which they are added is finite.
constexpr DataKind kKinds[] = {DataKind::kNormal, DataKind::kMixed};

class DeviceReduction : public testing::TestWithParam<DType> {};

TEST_P(DeviceReduction, OfStripsOfSeveralChunks) {
  int number = 0;
  for (const Shape& shape : {Shape{kChunk + 3, 35}, Shape{2 * kChunk + 9, 16}, Shape{33, 65}}) {
    for (const DataKind kind : kKinds) {
      for (const Operation& operation : {kLearnedScale, kStatistics, kQuantizationError}) {
        for (const Format format : {Format::kInt8, Format::kE4M3}) {
          if (kThreadSanitized && number++ % 5 != 0) continue;
          expect_agreement(
              operation,
              {{.format = format}, GetParam(), shape, Granularity::channel(1), kind, 1, 7});
        }
      }
    }
  }
}

TEST_P(DeviceReduction, OfMoreChunksThanLanes) {
  const Shape shape{33 * kChunk + 1};
  const Shape rows{3, 11 * kChunk + 7, 5};
  for (const DataKind kind : kKinds) {
    expect_agreement(kLearnedScale, {{}, GetParam(), shape, {}, kind, 1, 8});
    expect_agreement(kStatistics, {{}, GetParam(), rows, Granularity::channel(0), kind, 1, 9});
    expect_agreement(kQuantizationError, {{}, GetParam(), shape, {}, kind, 1, 10});
  }
}

/// The largest counts that a chunk can have.
TEST(DeviceReductionCounts, OfChunksOfOneValue) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr std::int64_t kRows = 2;
  set_device_order(0);
  const auto statistics_of = [](float value, std::int64_t n) {
    const double inf = double{kInfinity};
    if (std::isnan(value)) return Statistics{n, n, 0, 0, 0, inf, -inf};
    if (value == kInfinity) return Statistics{n, 0, n, 0, 0, inf, -inf};
    if (value == -kInfinity) return Statistics{n, 0, 0, n, 0, inf, -inf};
    return Statistics{n, 0, 0, 0, n, 0.0, 0.0};
  };
  for (const std::int64_t columns : {kChunk, 2 * kChunk + 5}) {
    for (const float value : {0.0f, -0.0f, std::nanf(""), kInfinity, -kInfinity}) {
      const DeviceMemory x(std::vector<float>(static_cast<std::size_t>(kRows * columns), value));
      const DeviceMemory result(kRows * sizeof(Statistics));
      run_on_device([&] {
        statistics({x.as<void>(), DType::kF32, Shape{kRows, columns}}, Granularity::channel(0),
                   {result.as<Statistics>(), kRows}, device_under_test().context,
                   device_under_test().stream);
      });
      EXPECT_EQ(result.content<Statistics>(),
                std::vector<Statistics>(kRows, statistics_of(value, columns)))
          << value << ", " << columns << " in a row";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceReduction, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
