// The device functions give the reference's bits: each operation, format, dtype and granularity, at
// every alignment. On the executor every case runs in the forward order and in another one.
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <tuple>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"
#include "simt/executor.hpp"
#include "support/device_table.hpp"

namespace cuqat::test {
namespace {

constexpr int kNumRandomOrders = 20;

/// Orders in turn, the same sequence in every run.
class Orders {
 public:
  simt::Order next() { return orders_[next_++ % orders_.size()]; }

 private:
  std::vector<simt::Order> orders_ = simt::all_orders(kNumRandomOrders);
  std::size_t next_ = 0;
};

/// Runs the operation in a given order of threads.
Outputs run_in(const simt::Order& order, const Operation& operation, const CaseData& data,
               const Placement& placement) {
  simt::set_order(order);
  Outputs outputs = operation.run(device_table(), data, placement);
  EXPECT_EQ(simt::fault(), "");
  return outputs;
}

constexpr std::size_t kStatistics = 6;
constexpr std::size_t kBackwardFromMask = 4;

using Parameter = std::tuple<std::size_t, Format, DType, Family>;

std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  const auto& [operation, format, dtype, family] = info.param;
  return std::string(kOperations[operation].name) + "_" +
         test_name(std::string(to_string(format))) + "_" +
         test_name(std::string(to_string(dtype))) + "_" + to_string(family);
}

class Device : public testing::TestWithParam<Parameter> {
 protected:
  static void SetUpTestSuite() {
    if (kCaseStride == 1) return;
    std::cout << "[ sample   ] every " << kCaseStride << "th case: this is a sanitizer build\n";
  }
};

TEST_P(Device, AgreesWithTheReferenceBitForBitInEveryOrder) {
  const auto& [index, format, dtype, family] = GetParam();
  const Operation& operation = kOperations[index];
  Orders orders;
  std::size_t elements = 0;
  for (const ScaledCase& test_case : cases(format, dtype, family)) {
    const CaseData data(test_case);
    const Outputs expected =
        operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
    for (const simt::Order& order : {simt::Order{}, orders.next()}) {
      const Outputs actual = run_in(order, operation, data, {});
      ASSERT_EQ(first_difference(expected, actual), "") << test_case << ", " << order.name();
      ASSERT_FALSE(HasFailure()) << test_case << ", " << order.name();
    }
    elements += data.count();
  }
  EXPECT_GT(elements, 10'000u / kCaseStride);
}

INSTANTIATE_TEST_SUITE_P(ScaledOperations, Device,
                         testing::Combine(testing::Values(0, 1, 2, 3), testing::ValuesIn(kFormats),
                                          testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kTensor, Family::kChannel,
                                                          Family::kGroup)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(FlatOperations, Device,
                         testing::Combine(testing::Values(kBackwardFromMask, kStatistics),
                                          testing::Values(Format::kInt8),
                                          testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kTensor)),
                         name_of);

class DeviceAlignment : public testing::TestWithParam<DType> {};

TEST_P(DeviceAlignment, ChangesNoBitAtAnyOffsetAndLength) {
  const DType dtype = GetParam();
  constexpr std::int64_t kStep = kSanitized ? 7 : 1;
  if (kStep > 1) std::cout << "[ sample   ] every 7th length: this is a sanitizer build\n";
  Orders orders;
  for (const std::size_t index : {0u, 1u, 2u, 3u, 4u, 6u}) {
    const Operation& operation = kOperations[index];
    for (std::int64_t length = 0; length < 68; length += kStep) {
      const Format format = kFormats[length % 4];
      const Quantizer quantizer = quantizers(format)[static_cast<std::size_t>(length / 4) % 2];
      const bool grouped = index != kStatistics && length / 4 % 3 == 2;
      const CaseData data({quantizer, dtype, Shape{length},
                           grouped ? Granularity::group(5) : Granularity::tensor(),
                           DataKind::kMixed, 1, static_cast<std::uint64_t>(length)});
      const Outputs expected =
          operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
      for (std::size_t offset = 0; offset < 16; ++offset) {
        for (const std::size_t other : {offset, (5 * offset + 3) % 16}) {
          const Outputs actual = run_in(orders.next(), operation, data, {offset, other});
          ASSERT_EQ(first_difference(expected, actual), "")
              << operation.name << ", " << data.parameters() << ", offsets " << offset << " and "
              << other;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceAlignment, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
