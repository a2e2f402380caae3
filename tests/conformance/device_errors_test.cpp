// What device functions refuse, and what they may not do on a stream.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/device_percentile.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"

namespace cuqat::test {
namespace {

static_assert(!std::is_constructible_v<StreamRef, int>);
static_assert(!std::is_constructible_v<StreamRef, std::nullptr_t>);
static_assert(!std::is_convertible_v<ConstTensorView, ConstDeviceTensorView>);
static_assert(!std::is_convertible_v<ConstDeviceTensorView, ConstTensorView>);

/// What fits together, and calls where something does not, after which the right call works.
class DeviceErrors : public DeviceArguments {
 protected:
  template <typename Call>
  void expect_refused(const Call& call, std::initializer_list<std::string_view> parts) {
    test::expect_refused(call, parts);
    fake_quantize(x(), params(), y(), {}, context(), stream());
    EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  }
};

TEST_F(DeviceErrors, AHostPointerIsNamed) {
  std::vector<float> host(kCount);
  const ConstDeviceTensorView host_x(host.data(), Shape{kCount});
  const DeviceTensorView host_y(host.data(), Shape{kCount});
  expect_refused([&] { fake_quantize(host_x, params(), y(), {}, context(), stream()); },
                 {"x is ", "device memory"});
  expect_refused([&] { fake_quantize(x(), params(), host_y, {}, context(), stream()); },
                 {"y is ", "device memory"});
  expect_refused(
      [&] {
        DeviceQuantParams wrong = params();
        wrong.scale = {host.data(), DType::kF32, Shape{1}};
        fake_quantize(x(), wrong, y(), {}, context(), stream());
      },
      {"params.scale is ", "device memory"});
  expect_refused(
      [&] {
        Statistics result;
        statistics(x(), {&result, 1}, context(), stream());
      },
      {"result is ", "device memory"});
}

TEST_F(DeviceErrors, WhatDoesNotFitTogetherIsNamed) {
  const DeviceTensorView longer(y_, DType::kF32, Shape{kCount + 1});
  const DeviceTensorView narrow(y_, DType::kBF16, Shape{kCount});
  const DeviceTensorView shifted(static_cast<float*>(x_) + 1, Shape{kCount});
  expect_refused([&] { fake_quantize(x(), params(), longer, {}, context(), stream()); },
                 {"y.shape()", "[1001]", "[1000]"});
  expect_refused([&] { fake_quantize(x(), params(), narrow, {}, context(), stream()); },
                 {"y.dtype()", "BF16", "F32"});
  expect_refused([&] { fake_quantize(x(), params(), shifted, {}, context(), stream()); },
                 {"y is ", "x itself or apart"});
  expect_refused(
      [&] {
        DeviceQuantParams wrong = params();
        wrong.granularity = Granularity::channel(0);
        fake_quantize(x(), wrong, y(), {}, context(), stream());
      },
      {"params.scale.size()", "is 1", "1000"});
  expect_refused(
      [&] {
        DeviceQuantParams wrong = params();
        wrong.scale = {scale_, DType::kF64, Shape{1}};
        fake_quantize(x(), wrong, y(), {}, context(), stream());
      },
      {"params.scale.dtype()", "F64", "F32"});
  expect_refused(
      [&] {
        DeviceQuantParams wrong = params();
        wrong.quantizer.format = Format::kE4M3;
        wrong.zero_point = {static_cast<std::int32_t*>(scale_), 1};
        fake_quantize(x(), wrong, y(), {}, context(), stream());
      },
      {"params.zero_point", "FP8"});
  expect_refused(
      [&] {
        FakeQuantizeExtras wrong = extras();
        wrong.clip_mask = {wrong.clip_mask.data(), 124};
        fake_quantize(x(), params(), y(), wrong, context(), stream());
      },
      {"clip_mask.size()", "124", "125"});
  expect_refused(
      [&] {
        quantize(x(), params(), {static_cast<std::uint8_t*>(y_), 500}, CodeLayout::kNibbles,
                 context(), stream());
      },
      {"layout", "kNibbles", "int8"});
}

/// As tests/host has it for the functions of the host.
TEST_F(DeviceErrors, AValueThatItsEnumerationDoesNotNameIsRefused) {
  constexpr auto kNoDType = static_cast<DType>(255);
  constexpr auto kNoOrder = static_cast<OrderBy>(2);
  const ConstDeviceTensorView of_no_dtype(x_, kNoDType, Shape{kCount});
  DeviceQuantParams of_no_format = params();
  of_no_format.quantizer.format = static_cast<Format>(77);
  DeviceQuantParams of_no_kind = params();
  of_no_kind.granularity.kind = static_cast<Granularity::Kind>(9);
  const DeviceScales scales{{scale_, DType::kF32, Shape{1}}, {}};
  const DeviceSpan<std::uint8_t> codes(static_cast<std::uint8_t*>(y_), kCount);
  const std::vector<double> percentiles{50.0};
  const DeviceSpan<Range> ranges(static_cast<Range*>(y_), 1);
  expect_refused([&] { fake_quantize(x(), of_no_format, y(), {}, context(), stream()); },
                 {"params.quantizer.format is 77"});
  expect_refused([&] { fake_quantize(x(), of_no_kind, y(), {}, context(), stream()); },
                 {"granularity.kind is 9"});
  expect_refused([&] { fake_quantize(of_no_dtype, params(), y(), {}, context(), stream()); },
                 {"x.dtype() is 255"});
  expect_refused(
      [&] { quantize(x(), params(), codes, static_cast<CodeLayout>(2), context(), stream()); },
      {"layout is 2"});
  expect_refused([&] { statistics(of_no_dtype, extras().statistics, context(), stream()); },
                 {"x.dtype() is 255"});
  expect_refused(
      [&] {
        minmax_scales(extras().statistics, of_no_format.quantizer, true, scales, context(),
                      stream());
      },
      {"quantizer.format is 77"});
  expect_refused(
      [&] { percentile_ranges(x(), kNoOrder, percentiles, ranges, context(), stream()); },
      {"order is 2"});
  expect_refused(
      [&] {
        sorted_percentile_ranges(x(), {}, kNoOrder, percentiles, ranges, context(), stream());
      },
      {"order is 2"});
  expect_refused(
      [&] { static_cast<void>(percentile_workspace_bytes(kNoDType, OrderBy::kValue, 1)); },
      {"dtype is 255"});
  expect_refused(
      [&] {
        static_cast<void>(sorted_percentile_workspace_bytes(kNoDType, Shape{9}, {}, context()));
      },
      {"dtype is 255"});
  expect_refused([&] { const DeviceCalibrationCollector collector(kNoDType, context()); },
                 {"dtype is 255"});
  expect_refused(
      [&] {
        calibrate_scales(x(), {}, {.method = static_cast<CalibMethod>(5)}, scales, context(),
                         stream());
      },
      {"method is 5"});
}

TEST_F(DeviceErrors, CodesOfATransposeThatDoNotFitAreNamed) {
  const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
  const DeviceSpan<std::uint8_t> codes(static_cast<std::uint8_t*>(y_), kCount);
  const DeviceSpan<std::uint8_t> transposed(static_cast<std::uint8_t*>(mask_), kCount);
  const auto expect = [&](ConstDeviceTensorView input, DeviceSpan<std::uint8_t> first,
                          DeviceSpan<std::uint8_t> second,
                          std::initializer_list<std::string_view> parts) {
    expect_refused(
        [&] { quantize_transposed(input, params(), first, second, context(), stream()); }, parts);
  };
  expect(x(), codes, transposed, {"x.shape()", "[1000]", "of rank 2"});
  expect(matrix, {codes.data(), 999}, transposed, {"codes.size()", "999", "1000"});
  expect(matrix, codes, {}, {"codes_transposed.size()", "0", "1000"});
  expect(matrix, codes, {codes.data() + 999, kCount}, {"codes_transposed", "apart from codes"});
  expect(matrix, {static_cast<std::uint8_t*>(x_) + 1, kCount}, transposed,
         {"codes", "apart from x"});
  expect(matrix, codes, {static_cast<std::uint8_t*>(scale_), kCount},
         {"codes_transposed", "apart from params.scale"});
  std::vector<std::uint8_t> host(kCount);
  expect(matrix, {host.data(), kCount}, transposed, {"codes is ", "device memory"});
  expect(matrix, codes, {host.data(), kCount}, {"codes_transposed is ", "device memory"});
}

TEST_F(DeviceErrors, StatisticsAreAligned) {
  auto* const odd = reinterpret_cast<Statistics*>(static_cast<char*>(statistics_) + 4);
  expect_refused(
      [&] {
        statistics(x(), {odd, 1}, context(), stream());
      },
      {"result is 4 bytes past"});
  expect_refused(
      [&] {
        FakeQuantizeExtras wrong = extras();
        wrong.statistics = {odd, 1};
        fake_quantize(x(), params(), y(), wrong, context(), stream());
      },
      {"statistics is 4 bytes past"});
  expect_refused(
      [&] {
        FakeQuantizeExtras wrong = extras();
        wrong.statistics = {static_cast<Statistics*>(scale_), 1};
        fake_quantize(x(), params(), y(), wrong, context(), stream());
      },
      {"statistics is ", "params.scale"});
}

TEST_F(DeviceErrors, GradientsThatDoNotFitAreNamed) {
  const DeviceTensorView longer(y_, DType::kF32, Shape{kCount + 1});
  const DeviceTensorView shifted(static_cast<float*>(x_) + 1, Shape{kCount});
  expect_refused([&] { fake_quantize_backward(x(), x(), params(), longer, context(), stream()); },
                 {"dx.shape()"});
  expect_refused([&] { fake_quantize_backward(longer, x(), params(), y(), context(), stream()); },
                 {"dy.shape()"});
  expect_refused([&] { fake_quantize_backward(x(), x(), params(), shifted, context(), stream()); },
                 {"dx is "});
  const DeviceTensorView over_scales(scale_, DType::kF32, Shape{kCount});
  expect_refused(
      [&] { fake_quantize_backward(x(), x(), params(), over_scales, context(), stream()); },
      {"dx is ", "params.scale"});
  expect_refused(
      [&] {
        const DeviceSpan<std::uint8_t> mask(extras().clip_mask.data(), 124);
        fake_quantize_backward(x(), mask, y(), context(), stream());
      },
      {"clip_mask.size()"});
  expect_refused(
      [&] {
        DeviceQuantParams wrong = params();
        wrong.quantizer = {.format = Format::kE5M2, .rounding = Rounding::kOriginal};
        fake_quantize(x(), wrong, y(), {}, context(), stream());
      },
      {"params.quantizer.rounding"});
}

/// A grid of more blocks than most devices hold, and a context without more scratch memory.
TEST_F(DeviceErrors, AGridOfManyBlocksIsReducedWhole) {
  constexpr std::int64_t kMany = 3'000'000;
  std::vector<float> values(static_cast<std::size_t>(kMany));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) - 7.0f;
  void* large = nullptr;
  ASSERT_EQ(cudaMalloc(&large, values.size() * sizeof(float)), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(large, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  // The reference: ThreadSanitizer does not see how OpenMP orders its threads.
  const Statistics expected = cuqat::statistics(values, {Backend::named("reference"), 1});
  for (const int num_multiprocessors : {400, 1}) {
    DeviceContext::Options least;
    least.num_multiprocessors = num_multiprocessors;
    least.workspace_bytes = 0;
    const DeviceContext many(least);
    const auto reduce = [&] {
      statistics({large, DType::kF32, Shape{kMany}}, {static_cast<Statistics*>(statistics_), 1},
                 many, stream());
    };
    EXPECT_LE(enqueued_by(reduce).largest_grid, 8 * num_multiprocessors);
    reduce();
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
    Statistics found;
    ASSERT_EQ(cudaMemcpy(&found, statistics_, sizeof(found), cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(found, expected);
  }
  EXPECT_EQ(cudaFree(large), cudaSuccess);
}

/// A scale of 0, and integer formats without zero points. A NaN is not clipped either.
TEST_F(DeviceErrors, AScaleOfZeroPassesXThrough) {
  Bytes values(kCount * sizeof(double));
  Bytes gradients(kCount * sizeof(double));
  for (const DType dtype : kDTypes) {
    values.resize(kCount * dtype_bytes(dtype));
    gradients.resize(values.size());
    for (std::size_t i = 0; i < kCount; ++i) {
      double value = static_cast<double>(i) * 1e30 - 5e32;  // infinite in f16
      if (i < 128) value = 0.0;                             // 0 / 0 is no quotient
      if (i % 7 == 3) value = std::numeric_limits<double>::quiet_NaN();
      store_element(dtype, values.data(), i, value);
      store_element(dtype, gradients.data(), i, static_cast<double>(i) - 99.5);
    }
    const DeviceMemory x(values);
    const DeviceMemory dy(gradients);
    const DeviceMemory scale(std::vector<double>{0.0});
    const auto view = [&](const DeviceMemory& memory) {
      return DeviceTensorView(memory.as<void>(), dtype, Shape{kCount});
    };
    for (const Format format : kFormats) {
      SCOPED_TRACE(testing::Message() << to_string(dtype) << ' ' << to_string(format));
      DeviceQuantParams params;
      params.quantizer.format = format;
      params.scale = {scale.as<void>(), dtype == DType::kF64 ? DType::kF64 : DType::kF32, Shape{1}};
      const DeviceMemory y(Bytes(values.size(), std::byte{0x5c}));
      const DeviceMemory dx(Bytes(values.size(), std::byte{0x5c}));
      const DeviceMemory mask(std::vector<std::uint8_t>(125, 1));
      fake_quantize(view(x), params, view(y), {mask.span<std::uint8_t>(), {}}, context(), stream());
      fake_quantize_backward(view(dy), view(x), params, view(dx), context(), stream());
      ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
      EXPECT_EQ(y.content<std::byte>(), values);
      EXPECT_EQ(mask.content<std::uint8_t>(), std::vector<std::uint8_t>(125, 0));
      EXPECT_EQ(dx.content<std::byte>(), gradients);
    }
  }
}

TEST_F(DeviceErrors, AContextSaysWhatItCannotHave) {
  for (const int count : {-1, 65'536}) {
    DeviceContext::Options wrong;
    wrong.num_multiprocessors = count;
    EXPECT_THROW(DeviceContext{wrong}, InvalidArgument) << count;
  }
  DeviceContext::Options huge;
  huge.workspace_bytes = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(DeviceContext{huge}, InvalidArgument);
}

TEST_F(DeviceErrors, AContextThatDoesNotLookAtPointersChecksTheRest) {
  const DeviceContext trusting({.check_pointers = false});
  const auto run = [&](const DeviceTensorView& to) {
    fake_quantize(x(), params(), to, extras(), trusting, stream());
  };
  expect_refused([&] { run({nullptr, DType::kF32, Shape{kCount}}); }, {"y.data() is null"});
  expect_refused([&] { run({y_, DType::kF32, Shape{kCount - 1}}); }, {"y.shape()", "[999]"});
  ASSERT_EQ(cudaMemsetAsync(y_, 0, kCount * sizeof(float), device_under_test().stream),
            cudaSuccess);
  run(y());
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  std::vector<float> found(kCount);
  ASSERT_EQ(cudaMemcpy(found.data(), y_, kCount * sizeof(float), cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(found, std::vector<float>(kCount, 1.0f));
}

TEST_F(DeviceErrors, AContextMayBeMoved) {
  DeviceContext first;
  DeviceContext second = std::move(first);
  first = DeviceContext({.num_multiprocessors = 1});
  for (const DeviceContext* moved : {&first, &second}) {
    fake_quantize(x(), params(), y(), extras(), *moved, stream());
    EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
    Statistics found;
    ASSERT_EQ(cudaMemcpy(&found, statistics_, sizeof(found), cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(found, (Statistics{kCount, 0, 0, 0, 0, 1.0, 1.0}));
  }
}

TEST_F(DeviceErrors, ANullStreamIsRefused) {
  cudaStream_t none = nullptr;
  expect_refused([&] { fake_quantize(x(), params(), y(), {}, context(), none); },
                 {"stream is null"});
}

TEST_F(DeviceErrors, OperationsOnlyLaunchOneKernelEach) {
  const std::function<void()> all[] = {
      [&] { fake_quantize(x(), params(), y(), extras(), context(), stream()); },
      [&] {
        statistics(x(), {static_cast<Statistics*>(statistics_), 1}, context(), stream());
      },
      [&] { fake_quantize_backward(x(), x(), params(), y(), context(), stream()); },
      [&] { fake_quantize_backward(x(), extras().clip_mask, y(), context(), stream()); },
      [&] {
        quantize(x(), params(), {static_cast<std::uint8_t*>(y_), kCount}, CodeLayout::kBytes,
                 context(), stream());
      },
      [&] {
        const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
        quantize_transposed(matrix, params(), {static_cast<std::uint8_t*>(y_), kCount},
                            {static_cast<std::uint8_t*>(mask_), kCount}, context(), stream());
      }};
  for (const auto& operation : all) {
    const Enqueued enqueued = enqueued_by(operation);
    EXPECT_EQ(enqueued.kernels, 1);
    EXPECT_EQ(enqueued.others, 0);
  }
}

TEST_F(DeviceErrors, AGraphGivesTheSameBits) {
  const auto content = [&] {
    std::vector<float> result(kCount);
    EXPECT_EQ(cudaMemcpy(result.data(), y_, kCount * sizeof(float), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return result;
  };
  auto* const codes = static_cast<std::uint8_t*>(y_);
  const std::function<void()> operations[] = {
      [&] { fake_quantize(x(), params(), y(), extras(), context(), stream()); },
      [&] {
        const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
        quantize_transposed(matrix, params(), {codes, kCount}, {codes + kCount, kCount}, context(),
                            stream());
      }};
  const cudaStream_t stream_of_test = device_under_test().stream;
  // On the default stream, for which the context's stream does not wait.
  const auto clear = [&] {
    EXPECT_EQ(cudaMemset(y_, 0, kCount * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  };
  for (const auto& operation : operations) {
    clear();
    operation();
    EXPECT_EQ(cudaStreamSynchronize(stream_of_test), cudaSuccess);
    const std::vector<float> expected = content();
    clear();

    for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal,
                            cudaStreamCaptureModeRelaxed}) {
      const CapturedGraph graph(operation, stream_of_test, mode);
      EXPECT_NE(content(), expected);
      for (int i = 0; i < 2; ++i) {
        graph.run();
        EXPECT_EQ(content(), expected);
      }
      clear();
    }
  }
}

}  // namespace
}  // namespace cuqat::test
