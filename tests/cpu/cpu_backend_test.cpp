// What is the CPU backend's own: instruction sets, threads, and outputs past the caches. That its
// operations are right is what tests/conformance shows.
#include "cpu/cpu_backend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using cuqat::CodeLayout;
using cuqat::DType;
using cuqat::Format;
using cuqat::Granularity;
using cuqat::Shape;
using cuqat::cpu::InstructionSet;
using cuqat::detail::OperationTable;
using cuqat::detail::ScaledTensor;

std::vector<float> make_data(std::int64_t count) {
  std::mt19937 generator(20'260);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  std::vector<float> data(static_cast<std::size_t>(count));
  for (float& value : data) value = normal(generator);
  for (std::size_t i = 0; i < data.size(); i += 4'999) {
    data[i] = i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN()
                         : -std::numeric_limits<float>::infinity();
  }
  return data;
}

/// A tensor with its own scales.
struct Problem {
  Problem(const Shape& shape, const Granularity& granularity, Format format) {
    tensor.shape = shape;
    tensor.granularity = granularity;
    tensor.quantizer.format = format;
    tensor.num_scales = cuqat::num_scales(granularity, shape);
    for (std::int64_t i = 0; i < tensor.num_scales; ++i) {
      scale.push_back(0.01f * static_cast<float>(i % 7 + 1));
      zero_point.push_back(cuqat::is_integer(format) ? static_cast<int>(i % 5) - 2 : 0);
    }
    tensor.scale = scale.data();
    tensor.zero_point = zero_point.data();
  }

  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
  ScaledTensor tensor;
};

struct Outcome {
  std::vector<std::uint32_t> y;
  std::vector<std::uint8_t> mask;
  std::vector<std::uint8_t> codes;
  std::vector<double> dscale;
  std::vector<double> dzero_point;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const OperationTable& table, Problem& problem, const std::vector<float>& x,
            int num_threads) {
  const std::size_t n = x.size();
  const auto num_scales = static_cast<std::size_t>(problem.tensor.num_scales);
  problem.tensor.num_threads = num_threads;
  Outcome outcome;
  outcome.y.resize(n);
  outcome.mask.resize((n + 7) / 8);
  outcome.codes.resize(n);
  outcome.dscale.resize(num_scales);
  outcome.dzero_point.resize(num_scales);
  std::vector<float> dx(n);
  const std::vector<double> gradient_scale(num_scales, 0.125);
  table.fake_quantize(problem.tensor, x.data(), outcome.y.data(), outcome.mask.data());
  table.quantize(problem.tensor, x.data(), outcome.codes.data(), CodeLayout::kBytes);
  table.learned_scale_backward(problem.tensor, x.data(), x.data(), dx.data(), gradient_scale.data(),
                               outcome.dscale.data(), outcome.dzero_point.data());
  // NaN compares unequal to itself.
  for (auto* sums : {&outcome.dscale, &outcome.dzero_point}) {
    for (double& sum : *sums) sum = sum == sum ? sum : -1.0;
  }
  return outcome;
}

struct Case {
  const char* name;
  Shape shape;
  Granularity granularity;
};

std::vector<Case> cases() {
  return {{"tensor", {300'007}, Granularity::tensor()},
          {"first axis", {37, 8'111}, Granularity::channel(0)},
          {"last axis", {8'111, 37}, Granularity::channel(1)},
          {"middle axis", {1'013, 3, 99}, Granularity::channel(1)},
          {"groups", {293, 1'025}, Granularity::group(128)}};
}

TEST(CpuBackend, BestInstructionSetIsTheLastUsableOne) {
  const auto tables = cuqat::cpu::all_instruction_sets();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables.front()->instruction_set, "baseline");
  EXPECT_EQ(&cuqat::cpu::operations(), tables.back());
  for (const OperationTable* table : tables) EXPECT_STREQ(table->name, "cpu");
  EXPECT_TRUE(cuqat::cpu::is_usable(InstructionSet::kBaseline));
}

TEST(CpuBackend, InstructionSetsAndThreadsGiveTheSameBits) {
  for (const Case& c : cases()) {
    const auto x = make_data(c.shape.count());
    for (const Format format : {Format::kInt8, Format::kE4M3}) {
      Problem problem(c.shape, c.granularity, format);
      const Outcome expected =
          run(cuqat::cpu::operations_for(InstructionSet::kBaseline), problem, x, 1);
      for (const OperationTable* table : cuqat::cpu::all_instruction_sets()) {
        for (const int threads : {1, 2, 5}) {
          SCOPED_TRACE(std::string(c.name) + " " + table->instruction_set + ", threads " +
                       std::to_string(threads));
          EXPECT_EQ(run(*table, problem, x, threads), expected);
        }
      }
    }
  }
}

/// Large outputs are written past the caches, at any address; small ones are not.
TEST(CpuBackend, StreamedOutputIsTheSameAsTiledOutput) {
  constexpr std::int64_t kCount = (std::int64_t{80} << 20) / 4 + 13;
  const auto x = make_data(kCount);
  Problem whole({kCount}, Granularity::tensor(), Format::kInt8);
  whole.tensor.num_threads = 2;
  constexpr std::size_t kOffset = 5;
  const auto bytes = static_cast<std::size_t>(kCount) * sizeof(float);
  std::vector<std::byte> large(bytes + 2 * kOffset, std::byte{0xa5});
  const OperationTable& table = cuqat::cpu::operations();
  table.fake_quantize(whole.tensor, x.data(), large.data() + kOffset, nullptr);

  constexpr std::int64_t kPart = 100'000;
  std::vector<float> expected(x.size());
  for (std::int64_t first = 0; first < kCount; first += kPart) {
    Problem part({std::min(kPart, kCount - first)}, Granularity::tensor(), Format::kInt8);
    table.fake_quantize(part.tensor, x.data() + first, expected.data() + first, nullptr);
  }
  EXPECT_EQ(std::memcmp(large.data() + kOffset, expected.data(), bytes), 0);
  for (std::size_t i = 0; i < kOffset; ++i) {
    EXPECT_EQ(large[i], std::byte{0xa5});
    EXPECT_EQ(large[large.size() - 1 - i], std::byte{0xa5});
  }
}

TEST(CpuBackend, InPlaceGradientFromAMaskTouchesClippedElementsOnly) {
  constexpr std::int64_t kCount = 70'001;
  const auto gradient = make_data(kCount);
  std::vector<std::uint8_t> mask((kCount + 7) / 8);
  const std::vector<std::int64_t> clipped{0, 63, 64, 4'095, 65'536, 70'000};
  auto expected = gradient;
  for (const std::int64_t i : clipped) {
    mask[static_cast<std::size_t>(i / 8)] |= static_cast<std::uint8_t>(1u << (i % 8));
    expected[static_cast<std::size_t>(i)] = 0.0f;
  }
  for (const OperationTable* table : cuqat::cpu::all_instruction_sets()) {
    auto in_place = gradient;
    table->fake_quantize_backward_from_mask(DType::kF32, kCount, in_place.data(), mask.data(),
                                            in_place.data(), 2);
    EXPECT_EQ(std::memcmp(in_place.data(), expected.data(), expected.size() * sizeof(float)), 0)
        << table->instruction_set;
    std::vector<float> apart(gradient.size());
    table->fake_quantize_backward_from_mask(DType::kF32, kCount, gradient.data(), mask.data(),
                                            apart.data(), 2);
    EXPECT_EQ(std::memcmp(apart.data(), expected.data(), expected.size() * sizeof(float)), 0)
        << table->instruction_set;
  }
}

}  // namespace
