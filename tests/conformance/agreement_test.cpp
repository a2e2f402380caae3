// Every backend gives the reference's bits: each operation, format, dtype and granularity.
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"

namespace cuqat::test {
namespace {

/// The cases of one format, dtype and granularity, and what the reference answers to them.
struct Expected {
  CaseData data;
  Outputs outputs;
};

using Selection = std::tuple<std::size_t, Format, DType, Family>;

/// Kept while only the backend changes, which is the fastest running parameter.
const std::vector<Expected>& expected_outputs(const Selection& selection) {
  static Selection kept_for;
  static std::vector<Expected> kept;
  if (!kept.empty() && kept_for == selection) return kept;
  const auto& [operation, format, dtype, family] = selection;
  kept.clear();
  for (const ScaledCase& test_case : cases(format, dtype, family)) {
    CaseData data(test_case);
    Outputs outputs =
        kOperations[operation].run(&reference::operations(), data, {.fill = std::byte{0x3c}});
    kept.push_back({std::move(data), std::move(outputs)});
  }
  kept_for = selection;
  return kept;
}

using Parameter = std::tuple<std::size_t, Format, DType, Family, Table>;

std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  const auto& [operation, format, dtype, family, table] = info.param;
  return std::string(kOperations[operation].name) + "_" + test_name(table) + "_" +
         test_name(std::string(to_string(format))) + "_" +
         test_name(std::string(to_string(dtype))) + "_" + to_string(family);
}

class Backend : public testing::TestWithParam<Parameter> {
 protected:
  static void SetUpTestSuite() { print_case_stride(); }
};

TEST_P(Backend, AgreesWithTheReferenceBitForBit) {
  const auto& [operation, format, dtype, family, table] = GetParam();
  std::size_t elements = 0;
  for (const Expected& expected : expected_outputs({operation, format, dtype, family})) {
    const Outputs actual = kOperations[operation].run(table, expected.data, {});
    ASSERT_EQ(first_difference(expected.outputs, actual), "") << expected.data.parameters();
    ASSERT_FALSE(HasFailure()) << expected.data.parameters();
    elements += expected.data.count();
  }
  EXPECT_GT(elements, 10'000u / kCaseStride);
}

std::vector<std::size_t> indices_of_scaled_operations() { return {0, 1, 2, 3, 5, 6, 7, 11}; }
std::vector<std::size_t> indices_of_flat_operations() { return {4, 8, 9, 10}; }

INSTANTIATE_TEST_SUITE_P(ScaledOperations, Backend,
                         testing::Combine(testing::ValuesIn(indices_of_scaled_operations()),
                                          testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kTensor, Family::kChannel,
                                                          Family::kGroup),
                                          testing::ValuesIn(fast_tables())),
                         name_of);

// Factors are scales without a format.
INSTANTIATE_TEST_SUITE_P(
    ScaledWithoutFormat, Backend,
    testing::Combine(testing::Values(std::size_t{12}), testing::Values(Format::kInt8),
                     testing::ValuesIn(kDTypes),
                     testing::Values(Family::kTensor, Family::kChannel, Family::kGroup),
                     testing::ValuesIn(fast_tables())),
    name_of);

// Operations that know neither format nor scale.
INSTANTIATE_TEST_SUITE_P(FlatOperations, Backend,
                         testing::Combine(testing::ValuesIn(indices_of_flat_operations()),
                                          testing::Values(Format::kInt8),
                                          testing::ValuesIn(kDTypes),
                                          testing::Values(Family::kTensor),
                                          testing::ValuesIn(fast_tables())),
                         name_of);

using MatrixParameter = std::tuple<DType, Table>;

std::string name_of_matrix(const testing::TestParamInfo<MatrixParameter>& info) {
  const auto& [dtype, table] = info.param;
  return test_name(table) + "_" + std::string(to_string(dtype));
}

class Matrix : public testing::TestWithParam<MatrixParameter> {};

TEST_P(Matrix, HasTheReferencesCodesInBothOrders) {
  const auto& [dtype, table] = GetParam();
  for (const ScaledCase& test_case : matrix_cases(dtype)) {
    const CaseData data(test_case);
    const Outputs expected =
        run_quantize_transposed(&reference::operations(), data, {.fill = std::byte{0x3c}});
    const Outputs actual = run_quantize_transposed(table, data, {});
    ASSERT_EQ(first_difference(expected, actual), "") << test_case;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, Matrix,
                         testing::Combine(testing::ValuesIn(kDTypes),
                                          testing::ValuesIn(fast_tables())),
                         name_of_matrix);

}  // namespace
}  // namespace cuqat::test
