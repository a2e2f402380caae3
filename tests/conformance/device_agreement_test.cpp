// The device functions give the reference's bits: each operation, format, dtype and granularity, at
// every alignment. Every case runs in an order of its own, a few small ones in all.
#include <gtest/gtest.h>

#include <cstddef>
#include <iostream>
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"
#include "support/device_table.hpp"

namespace cuqat::test {
namespace {

/// All orders in turn, the same sequence in every run. Tests start at different ones, so that those
/// of few cases see them all together.
class Orders {
 public:
  explicit Orders(std::size_t start) : next_(static_cast<int>(start)) {}
  int next() { return next_++ % num_device_orders(); }

 private:
  int next_;
};

Outputs run_in(int order, const Operation& operation, const CaseData& data,
               const Placement& placement) {
  set_device_order(order);
  Outputs outputs = operation.run(device_table(), data, placement);
  EXPECT_EQ(device_fault(), "");
  return outputs;
}

constexpr std::size_t kLearnedScale = 5;
constexpr std::size_t kStatistics = 6;
constexpr std::size_t kQuantizationError = 7;
constexpr std::size_t kBackwardFromMask = 4;
constexpr std::size_t kKeyHistogram = 8;
constexpr std::size_t kQuantizeTransposed = 11;
constexpr std::size_t kScaleElements = 12;

using Parameter = std::tuple<std::size_t, Format, DType, Family>;

std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  const auto& [operation, format, dtype, family] = info.param;
  return std::string(kOperations[operation].name) + "_" +
         test_name(std::string(to_string(format))) + "_" +
         test_name(std::string(to_string(dtype))) + "_" + to_string(family);
}

class Device : public testing::TestWithParam<Parameter> {
 protected:
  static void SetUpTestSuite() { print_case_stride(); }
};

TEST_P(Device, AgreesWithTheReferenceBitForBit) {
  const auto& [index, format, dtype, family] = GetParam();
  const Operation& operation = kOperations[index];
  Orders orders(7 * index + 5 * static_cast<std::size_t>(format) +
                3 * static_cast<std::size_t>(dtype) + static_cast<std::size_t>(family));
  std::size_t elements = 0;
  for (const ScaledCase& test_case : cases(format, dtype, family)) {
    const CaseData data(test_case);
    const Outputs expected =
        operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
    const int order = orders.next();
    const Outputs actual = run_in(order, operation, data, {});
    ASSERT_EQ(first_difference(expected, actual), "")
        << test_case << ", " << device_order_name(order);
    ASSERT_FALSE(HasFailure()) << test_case << ", " << device_order_name(order);
    elements += data.count();
  }
  EXPECT_GT(elements, 10'000u / kCaseStride);
}

INSTANTIATE_TEST_SUITE_P(
    ScaledOperations, Device,
    testing::Combine(testing::Values(0, 1, 2, 3, kLearnedScale, kQuantizationError),
                     testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes),
                     testing::Values(Family::kTensor, Family::kChannel, Family::kGroup)),
    name_of);
// Of whole tensors DeviceMatrix sees enough.
INSTANTIATE_TEST_SUITE_P(Transposes, Device,
                         testing::Combine(testing::Values(kQuantizeTransposed),
                                          testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kChannel, Family::kGroup)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(FlatOperations, Device,
                         testing::Combine(testing::Values(kBackwardFromMask),
                                          testing::Values(Format::kInt8),
                                          testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kTensor)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(
    UnscaledOperations, Device,
    testing::Combine(testing::Values(kStatistics), testing::Values(Format::kInt8),
                     testing::ValuesIn(kDTypes),
                     testing::Values(Family::kTensor, Family::kChannel, Family::kGroup)),
    name_of);
INSTANTIATE_TEST_SUITE_P(ChannelOperations, Device,
                         testing::Combine(testing::Values(kScaleElements),
                                          testing::Values(Format::kInt8),
                                          testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kChannel)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(KeyHistograms, Device,
                         testing::Combine(testing::Values(kKeyHistogram),
                                          testing::Values(Format::kInt8),
                                          testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                                          testing::Values(Family::kTensor)),
                         name_of);

/// Small tensors of more than one block (of most dtypes) that end within a vector, a warp and a
/// byte of the mask.
std::vector<ScaledCase> small_cases(DType dtype, Family family, std::size_t start) {
  struct Layout {
    Shape shape;
    Granularity granularity;
  };
  const std::vector<Layout> tensors = {{{1541}, Granularity::tensor()},
                                       {{3, 5, 67}, Granularity::tensor()},
                                       {{2081}, Granularity::tensor()}};
  const std::vector<Layout> channels = {{{5, 7, 31}, Granularity::channel(1)},
                                        {{3, 401}, Granularity::channel(0)},
                                        {{301, 3}, Granularity::channel(1)}};
  const std::vector<Layout> groups = {{{3, 367}, Granularity::group(64)},
                                      {{33, 31}, Granularity::group(5)},
                                      {{2, 523}, Granularity::group(1000)}};
  std::vector<ScaledCase> result;
  for (const Layout& layout : family == Family::kTensor    ? tensors
                              : family == Family::kChannel ? channels
                                                           : groups) {
    const std::size_t turn = start + result.size();
    const std::vector<Quantizer> choices = quantizers(kFormats[turn % std::size(kFormats)]);
    result.push_back({choices[turn / std::size(kFormats) % choices.size()], dtype, layout.shape,
                      layout.granularity, DataKind::kMixed, 1, turn});
  }
  return result;
}

class DeviceOrders : public testing::TestWithParam<std::tuple<std::size_t, DType>> {};

/// AgreesWithTheReferenceBitForBit sees many cases, these see all orders.
TEST_P(DeviceOrders, EveryOperationHasTheReferencesBitsInEveryOrder) {
  const auto& [index, dtype] = GetParam();
  const Operation& operation = kOperations[index];
  // Cases start at different orders, so that a sample of them is of other orders for each.
  const int stride = kThreadSanitized ? 11 : kCaseStride > 1 ? 5 : 1;
  if (stride > 1) std::cout << "[ sample   ] every " << stride << "th order\n";
  std::size_t start = 5 * index + static_cast<std::size_t>(dtype);
  for (const Family family : {Family::kTensor, Family::kChannel, Family::kGroup}) {
    const bool is_flat = index == kBackwardFromMask || index == kKeyHistogram;
    if (is_flat && family != Family::kTensor) continue;
    if (index == kScaleElements && family != Family::kChannel) continue;
    for (const ScaledCase& test_case : small_cases(dtype, family, start)) {
      const CaseData data(test_case);
      const Outputs expected =
          operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
      for (int order = static_cast<int>(start++) % stride; order < num_device_orders();
           order += stride) {
        const Outputs actual = run_in(order, operation, data, {});
        ASSERT_EQ(first_difference(expected, actual), "")
            << test_case << ", " << device_order_name(order);
        ASSERT_FALSE(HasFailure()) << test_case << ", " << device_order_name(order);
      }
    }
  }
}

std::vector<std::tuple<std::size_t, DType>> operations_and_dtypes() {
  std::vector<std::tuple<std::size_t, DType>> result;
  for (const std::size_t index : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3},
                                  kBackwardFromMask, kLearnedScale, kStatistics, kQuantizationError,
                                  kKeyHistogram, kQuantizeTransposed, kScaleElements}) {
    for (const DType dtype : kDTypes) {
      if (index != kKeyHistogram || dtype != DType::kF64) result.emplace_back(index, dtype);
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(EveryOperation, DeviceOrders, testing::ValuesIn(operations_and_dtypes()),
                         [](const auto& of) {
                           return std::string(kOperations[std::get<0>(of.param)].name) + "_" +
                                  test_name(std::string(to_string(std::get<1>(of.param))));
                         });

class DeviceAlignment : public testing::TestWithParam<DType> {};

TEST_P(DeviceAlignment, ChangesNoBitAtAnyOffsetAndLength) {
  const DType dtype = GetParam();
  print_case_stride();
  Orders orders(7 * static_cast<std::size_t>(GetParam()));
  for (const std::size_t index : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 11u}) {
    const Operation& operation = kOperations[index];
    for (std::int64_t length = 0; length < 68; length += kSweepStride) {
      const Format format = kFormats[length % 4];
      const Quantizer quantizer = quantizers(format)[static_cast<std::size_t>(length / 4) % 2];
      const bool grouped = length / 4 % 3 == 2;
      const CaseData data({quantizer, dtype, Shape{length},
                           grouped ? Granularity::group(5) : Granularity::tensor(),
                           DataKind::kMixed, 1, static_cast<std::uint64_t>(length)});
      const Outputs expected =
          operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
      // Each length at some offsets, other lengths at the others.
      constexpr std::size_t kOffsetStep = kThreadSanitized ? 3 : 1;
      for (auto offset = static_cast<std::size_t>(length) % kOffsetStep; offset < 16;
           offset += kOffsetStep) {
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

/// With a scale for each column and for each row. Addresses of which elements are no multiples:
/// those are moved byte by byte, and not from the multiple before.
TEST_P(DeviceAlignment, ChangesNoBitOfAMatrixAtAnyByte) {
  const DType dtype = GetParam();
  if (kSanitized) std::cout << "[ sample   ] every 5th placement: this is a sanitizer build\n";
  constexpr std::size_t kStride = kSanitized ? 5 : 1;
  Orders orders(5 * static_cast<std::size_t>(dtype));
  std::size_t number = 0;
  for (const std::size_t index :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3}, kLearnedScale, kStatistics,
        kQuantizationError, kKeyHistogram, kQuantizeTransposed, kScaleElements}) {
    const Operation& operation = kOperations[index];
    for (const Shape& shape : {Shape{9, 13}, Shape{70, 40}}) {
      for (const int axis : {1, 0}) {
        // Of a histogram, tens of thousands of counts are compared.
        if (index == kKeyHistogram && axis == 0) continue;
        const Format format = kFormats[(number / 6 + index) % 4];
        const CaseData data({quantizers(format)[0], dtype, shape, Granularity::channel(axis),
                             DataKind::kMixed, 1, number});
        const Outputs expected =
            operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
        for (const Placement& placement : {Placement{1, 1}, Placement{3, 0}, Placement{0, 5},
                                           Placement{2, 7}, Placement{6, 4}}) {
          if (number++ % kStride != 0) continue;
          const Outputs actual = run_in(orders.next(), operation, data, placement);
          ASSERT_EQ(first_difference(expected, actual), "")
              << operation.name << ", " << data.parameters() << ", offsets "
              << placement.input_offset << " and " << placement.output_offset;
        }
        ++number;
      }
    }
  }
}

class DeviceMatrix : public testing::TestWithParam<DType> {};

TEST_P(DeviceMatrix, HasTheReferencesCodesInBothOrders) {
  if (kSanitized) std::cout << "[ sample   ] every 7th matrix: this is a sanitizer build\n";
  Orders orders(7 * static_cast<std::size_t>(GetParam()));
  const std::vector<ScaledCase> all = matrix_cases(GetParam());
  for (std::size_t i = 0; i < all.size(); i += kSanitized ? 7 : 1) {
    const CaseData data(all[i]);
    const Operation& operation = kOperations[kQuantizeTransposed];
    const Outputs expected =
        operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
    // Columns of the transpose that allow 16-byte, 4-byte and 1-byte stores.
    for (const std::size_t offset : {0u, 4u, 9u}) {
      const Outputs actual = run_in(orders.next(), operation, data, {4 * offset, offset});
      ASSERT_EQ(first_difference(expected, actual), "") << all[i] << ", offset " << offset;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceMatrix, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceAlignment, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
