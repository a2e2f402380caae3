// What the reductions per scale refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_reduction_fixture.hpp"

namespace cuqat::test {
namespace {

/// Calls where something does not fit, after which the right calls work.
class DeviceReductionErrors : public DeviceReductionFixture {
 protected:
  template <typename Call>
  void expect_refused(const Call& call, std::initializer_list<std::string_view> parts) {
    test::expect_refused(call, parts);
    run_learned();
    run_statistics();
    wait();
  }
  /// The same for one argument of learned_scale_backward.
  template <typename Change>
  void expect_gradient_refused(const Change& change,
                               std::initializer_list<std::string_view> parts) {
    DeviceLearnedScaleGradient wrong = gradient();
    change(wrong);
    expect_refused(
        [&] { learned_scale_backward(dy(), x(), params(), dx(), wrong, {}, context(), stream()); },
        parts);
  }
};

TEST_F(DeviceReductionErrors, GradientsThatDoNotFitAreNamed) {
  expect_gradient_refused([&](auto& wrong) { wrong.dscale = view(dscale_, {2}); },
                          {"gradient.dscale.size()", "is 2", "3"});
  expect_gradient_refused([&](auto& wrong) { wrong.dzero_point = view(dzero_point_, {2}); },
                          {"gradient.dzero_point.size()", "is 2", "3"});
  expect_gradient_refused(
      [&](auto& wrong) {
        wrong.dscale = {dscale_.as<void>(), DType::kF64, Shape{kRows}};
      },
      {"gradient.dscale.dtype()", "F64", "F32"});
  expect_gradient_refused(
      [&](auto& wrong) {
        wrong.dzero_point = {dscale_.as<void>(), DType::kBF16, Shape{kRows}};
      },
      {"gradient.dzero_point.dtype()", "BF16", "F32"});
  expect_gradient_refused(
      [&](auto& wrong) {
        wrong.dscale = {dscale_.as() + 2, DType::kF32, Shape{kRows}};
      },
      {"gradient.dscale is 2 bytes past"});
  float host[kRows] = {};
  expect_gradient_refused(
      [&](auto& wrong) {
        wrong.dscale = {host, Shape{kRows}};
      },
      {"gradient.dscale is ", "device memory"});
  expect_gradient_refused(
      [&](auto& wrong) {
        wrong.dscale = {nullptr, DType::kF32, Shape{3}};
      },
      {"gradient.dscale.data() is null"});
}

TEST_F(DeviceReductionErrors, OutputsInMemoryThatIsReadAreNamed) {
  expect_gradient_refused([&](auto& wrong) { wrong.dzero_point = wrong.dscale; },
                          {"gradient.dscale is ", "gradient.dzero_point"});
  const auto expect_apart = [&](const DeviceMemory& memory, const std::string& name) {
    expect_gradient_refused([&](auto& wrong) { wrong.dzero_point = view(memory, {kRows}); },
                            {"gradient.dzero_point is ", "apart from " + name});
  };
  expect_apart(x_, "x");
  expect_apart(dy_, "dy");
  expect_apart(dx_, "dx");
  expect_apart(scale_, "params.scale");
  expect_refused(
      [&] {
        statistics(x(), Granularity::channel(0), {x_.as<Statistics>(), kRows}, context(), stream());
      },
      {"result is ", "x"});
  expect_refused(
      [&] {
        statistics(x(), {x_.as<Statistics>(), 1}, context(), stream());
      },
      {"result is ", "x"});
}

TEST_F(DeviceReductionErrors, Fp8HasNoGradientOfAZeroPoint) {
  expect_refused(
      [&] {
        DeviceQuantParams fp8 = params();
        fp8.quantizer.format = Format::kE4M3;
        fp8.zero_point = {};
        learned_scale_backward(dy(), x(), fp8, dx(), gradient(), {}, context(), stream());
      },
      {"gradient.dzero_point.size()", "is 3", "FP8"});
}

TEST_F(DeviceReductionErrors, TensorsAndParametersAreChecked) {
  const DeviceTensorView shorter = view(dx_, {kRows, kColumns - 1});
  const DeviceTensorView shifted(x_.as<float>() + 1, Shape{kRows, kColumns});
  const auto run = [&](const DeviceTensorView& to, const DeviceQuantParams& with,
                       std::optional<double> g) {
    learned_scale_backward(dy(), x(), with, to, gradient(), g, context(), stream());
  };
  expect_refused([&] { run(shorter, params(), {}); }, {"dx.shape()", "[3, 4999]", "[3, 5000]"});
  expect_refused([&] { run(shifted, params(), {}); }, {"dx is ", "x itself or apart"});
  DeviceQuantParams wrong = params();
  wrong.scale = view(scale_, {2});
  expect_refused([&] { run(dx(), wrong, {}); }, {"params.scale.size()", "is 2", "3"});
  expect_refused([&] { run(dx(), params(), INFINITY); }, {"gradient_scale is inf", "finite"});
  cudaStream_t none = nullptr;
  expect_refused(
      [&] { learned_scale_backward(dy(), x(), params(), dx(), gradient(), {}, context(), none); },
      {"stream is null"});
}

TEST_F(DeviceReductionErrors, StatisticsThatDoNotFitAreNamed) {
  const auto run = [&](const Granularity& granularity, DeviceSpan<Statistics> to) {
    statistics(x(), granularity, to, context(), stream());
  };
  expect_refused([&] { run(Granularity::channel(1), result()); }, {"result.size() is 3", "5000"});
  expect_refused([&] { run(Granularity::channel(2), result()); }, {"granularity.axis"});
  expect_refused([&] { run(Granularity::group(0), result()); }, {"granularity.group_size"});
  auto* const odd = reinterpret_cast<Statistics*>(statistics_.as() + 4);
  expect_refused([&] { run(Granularity::channel(0), {odd, kRows}); }, {"result is 4 bytes past"});
  Statistics host[kRows];
  expect_refused(
      [&] {
        run(Granularity::channel(0), {host, kRows});
      },
      {"result is ", "device memory"});
}

TEST_F(DeviceReductionErrors, QuantizationErrorsThatDoNotFitAreNamed) {
  const DeviceMemory errors(kRows * sizeof(QuantizationError) + 8);
  const DeviceMemory many(2 * kRows * sizeof(QuantizationError));
  const auto run = [&](DeviceSpan<const Statistics> statistics, DeviceSpan<QuantizationError> to) {
    quantization_error(x(), params(), statistics, to, context(), stream());
  };
  const DeviceSpan<QuantizationError> good(errors.as<QuantizationError>(), kRows);
  expect_refused([&] { run({result().data(), 2}, good); }, {"statistics.size() is 2", "3"});
  expect_refused([&] { run(result(), many.span<QuantizationError>()); }, {"result.size() is 6"});
  auto* const odd = reinterpret_cast<QuantizationError*>(errors.as() + 4);
  expect_refused([&] { run(result(), {odd, kRows}); }, {"result is 4 bytes past"});
  expect_refused(
      [&] {
        run(result(), {x_.as<QuantizationError>(), kRows});
      },
      {"result is ", "apart from x"});
  expect_refused(
      [&] {
        run({many.as<const Statistics>(), kRows}, {many.as<QuantizationError>(), kRows});
      },
      {"result is ", "apart from statistics"});
  QuantizationError host[kRows];
  expect_refused([&] { run(result(), {host, kRows}); }, {"result is ", "device memory"});
  statistics(x(), Granularity::channel(0), result(), context(), stream());
  const Enqueued enqueued = enqueued_by([&] { run(result(), good); });
  EXPECT_EQ(enqueued.kernels, 2);
  EXPECT_EQ(enqueued.others, 0);
}

/// As a scale found on the device may be: such x has no error.
TEST_F(DeviceReductionErrors, AScaleOfZeroCostsNothing) {
  const DeviceMemory errors(kRows * sizeof(QuantizationError));
  ASSERT_EQ(cudaMemsetAsync(scale_.as(), 0, scale_.size_bytes(), device_under_test().stream),
            cudaSuccess);
  statistics(x(), Granularity::channel(0), result(), context(), stream());
  quantization_error(x(), params(), result(), errors.span<QuantizationError>(), context(),
                     stream());
  wait();
  for (const QuantizationError& error : errors.content<QuantizationError>()) {
    EXPECT_EQ(error.count, kColumns);
    EXPECT_EQ(error.clipped, 0);
    EXPECT_EQ(error.rounding, SquaredSum{});
    EXPECT_EQ(error.clipping, SquaredSum{});
    EXPECT_NE(error.signal, SquaredSum{});
  }
}

TEST_F(DeviceReductionErrors, AContextWithTooLittleScratchMemorySaysSo) {
  // 1 700 channels of 4 097 elements: two chunks each.
  const Shape shape{1700, 4097};
  EXPECT_EQ(learned_scale_workspace_bytes(shape, Granularity::channel(0)), 256u + 1700 * 2 * 16);
  EXPECT_EQ(learned_scale_workspace_bytes({1700, 4096}, Granularity::channel(0)), 0u);
  EXPECT_EQ(learned_scale_workspace_bytes({3, 0}, Granularity::channel(0)), 0u);
  EXPECT_EQ(learned_scale_workspace_bytes({3, 0}, Granularity::group(2)), 0u);
  EXPECT_EQ(learned_scale_workspace_bytes({4096 * 4097}, Granularity::tensor()),
            256u + 4097 * 16 + 2 * 16);
  EXPECT_THROW(static_cast<void>(learned_scale_workspace_bytes(shape, Granularity::channel(2))),
               InvalidArgument);

  DeviceContext::Options options;
  const std::size_t needed = learned_scale_workspace_bytes(shape, Granularity::channel(0));
  options.workspace_bytes = needed - 1;
  const DeviceContext small(options);
  const DeviceMemory many(std::vector<float>(static_cast<std::size_t>(shape.count())));
  const DeviceMemory scales(std::vector<float>(1700, 1.0f));
  const DeviceMemory dscale(std::vector<float>(1700, -1.0f));
  DeviceQuantParams params;
  params.granularity = Granularity::channel(0);
  params.scale = view(scales, {1700});
  const auto run = [&](const DeviceContext& on) {
    learned_scale_backward(view(many, shape), view(many, shape), params, view(many, shape),
                           {view(dscale, {1700}), {}}, {}, on, stream());
  };
  expect_refused([&] { run(small); }, {"context.workspace_bytes() is " + std::to_string(needed - 1),
                                       "at least " + std::to_string(needed)});
  options.workspace_bytes = needed;
  const DeviceContext enough(options);
  run(enough);
  wait();
  EXPECT_EQ(dscale.content<float>(), std::vector<float>(1700, 0.0f));
}

}  // namespace
}  // namespace cuqat::test
