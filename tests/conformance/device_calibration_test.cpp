// Calibration on the device: every method gives the host's scale and zero point bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "conformance/calibration_samples.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

class DeviceCalibration : public testing::TestWithParam<DType> {
 protected:
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }
  [[nodiscard]] DeviceScales scales() const {
    return {{scale_.as<void>(), DType::kF32, Shape{1}}, {zero_point_.as<std::int32_t>(), 1}};
  }
  void expect_answer(const CalibrationResult& expected, const std::string& what) const {
    EXPECT_EQ(static_cast<double>(scale_.content<float>()[0]), expected.params.scale[0]) << what;
    EXPECT_EQ(zero_point_.content<std::int32_t>()[0], expected.params.zero_point[0]) << what;
  }

  DeviceMemory scale_{std::vector<float>{-1.0f}};
  DeviceMemory zero_point_{std::vector<std::int32_t>{-77}};
};

TEST_P(DeviceCalibration, GivesTheHostsScalesForEveryMethod) {
  constexpr int kStride = kSanitized ? 37 : 1;
  if (kSanitized) std::cout << "[ sample   ] every 37th method of the samples\n";
  int order = 0;
  int number = 0;
  for (const CalibrationSample& sample : calibration_samples()) {
    const Bytes x = to_bytes(GetParam(), sample.values);
    const auto count = static_cast<std::int64_t>(sample.values.size());
    CalibrationCollector host(GetParam());
    host.observe({x.data(), GetParam(), Shape{count}}, {Backend::named("reference"), 1});
    DeviceCalibrationCollector device(GetParam(), context());
    const DeviceMemory device_x(x);
    run_on_device([&] {
      device.observe({device_x.as<void>(), GetParam(), Shape{count}}, context(), stream());
    });
    for (const CalibrationOptions& method : calibration_methods()) {
      const bool by_windows = method.dialect == EntropyDialect::kOnnxRuntime;
      if (number++ % kStride != 0 || (by_windows && !sample.with_windows)) continue;
      set_device_order(order++ % num_device_orders());
      run_on_device([&] { device.compute(method, scales(), context(), stream()); });
      ASSERT_EQ(device_fault(), "");
      expect_answer(host.compute(method), sample.name + ", " + describe(method));
    }
  }
}

/// As many elements as years of batches, whose squared errors need more than 64 bits.
TEST_P(DeviceCalibration, AnswersForHugeCounts) {
  if (kThreadSanitized) std::cout << "[ sample   ] every 3rd method\n";
  std::vector<std::uint64_t> counts(kNumKeys);
  Random random(6);
  for (int i = 0; i < 300; ++i) {
    const Bytes one = to_bytes(GetParam(), std::vector<double>{random.normal()});
    std::uint16_t key = 0;
    std::memcpy(&key, one.data(), sizeof(key));
    counts[key] += (std::uint64_t{1} << 44) + random() % 1000;
  }
  const auto host = CalibrationCollector::of_key_histogram(
      GetParam(), std::span<const std::uint64_t, kNumKeys>(counts));
  DeviceCalibrationCollector device(GetParam(), context());
  ASSERT_EQ(cudaMemcpy(device.counts().data(), counts.data(), kNumKeys * sizeof(std::uint64_t),
                       cudaMemcpyHostToDevice),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  set_device_order(0);
  int number = 0;
  for (const CalibMethod method : {CalibMethod::kMinMax, CalibMethod::kPercentile,
                                   CalibMethod::kEntropy, CalibMethod::kMse, CalibMethod::kSqnr}) {
    for (const bool symmetric : {true, false}) {
      if (kThreadSanitized && number++ % 3 != 0) continue;
      const CalibrationOptions options{.method = method, .symmetric = symmetric};
      run_on_device([&] { device.compute(options, scales(), context(), stream()); });
      expect_answer(host.compute(options), describe(options));
    }
  }
}

TEST_P(DeviceCalibration, DoesNotDependOnTheCutTheOrderOrTheAddressOfBatches) {
  const Bytes x = to_bytes(GetParam(), normal(3000, 9, 2.0));
  const DeviceMemory device_x(x);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return ConstDeviceTensorView(device_x.as() + first * 2, GetParam(), Shape{count});
  };
  const auto counts_of = [&](const std::vector<ConstDeviceTensorView>& batches) {
    DeviceCalibrationCollector collector(GetParam(), context());
    run_on_device([&] {
      for (const ConstDeviceTensorView& batch : batches) {
        collector.observe(batch, context(), stream());
      }
    });
    return collector.to_host(context(), stream()).save();
  };
  const std::vector<std::byte> whole = counts_of({part(0, 3000)});
  EXPECT_EQ(counts_of({part(1700, 1300), part(0, 1), part(1, 1699)}), whole);
  EXPECT_EQ(counts_of({part(0, 0), part(0, 2999), part(2999, 1)}), whole);
  for (const std::size_t offset : {1u, 2u, 3u}) {
    Bytes moved(offset);
    moved.insert(moved.end(), x.begin(), x.end());
    const DeviceMemory elsewhere(moved);
    EXPECT_EQ(counts_of({{elsewhere.as() + offset, GetParam(), Shape{3000}}}), whole)
        << offset << " bytes on";
  }
  CalibrationCollector host(GetParam());
  host.observe({x.data(), GetParam(), Shape{3000}});
  EXPECT_EQ(host.save(), whole);
}

/// In one read: what is counted, the values and the mask, for all that a scale can be for.
TEST_P(DeviceCalibration, ObservesAndFakeQuantizesAsEachAlone) {
  if (kThreadSanitized) std::cout << "[ sample   ] every 4th call\n";
  struct Case {
    Shape shape;
    Granularity granularity;
  };
  const Case all[] = {{Shape{0}, {}},
                      {Shape{1}, {}},
                      {Shape{77}, {}},
                      {Shape{40'007}, {}},
                      {Shape{5, 333}, Granularity::channel(0)},
                      {Shape{33, 40}, Granularity::channel(1)},
                      {Shape{9, 100}, Granularity::group(32)}};
  int call = 0;
  int number = 0;
  for (const Case& one : all) {
    const auto count = static_cast<std::size_t>(one.shape.count());
    std::vector<double> values = normal(count, 31, 2.0);
    for (std::size_t i = 5; i < count; i += 41) values[i] = i % 2 == 0 ? 0.0 : std::nan("");
    const Bytes x = to_bytes(GetParam(), values);
    for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2}) {
      for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kOriginal}) {
        if (rounding == Rounding::kOriginal && !is_integer(format)) continue;
        for (const std::size_t offset : {0u, 1u, 2u}) {  // bytes
          if (kThreadSanitized && call++ % 4 != 0) continue;
          const bool with_mask = number % 4 != 0;
          set_device_order(number++ % num_device_orders());
          QuantParams params{{.format = format, .rounding = rounding}, one.granularity, {}, {}};
          const auto scales = static_cast<std::size_t>(num_scales(one.granularity, one.shape));
          std::vector<float> scale(scales);
          for (std::size_t i = 0; i < scales; ++i) {
            scale[i] = 0.01f + 0.003f * static_cast<float>(i % 17);
            params.scale.push_back(double{scale[i]});
          }
          Bytes expected_y(x.size());
          std::vector<std::uint8_t> expected_mask(with_mask ? clip_mask_bytes(one.shape.count())
                                                            : 0);
          fake_quantize({x.data(), GetParam(), one.shape}, params,
                        {expected_y.data(), GetParam(), one.shape}, expected_mask,
                        {Backend::named("reference"), 1});
          CalibrationCollector expected(GetParam());
          expected.observe({x.data(), GetParam(), Shape{one.shape.count()}});

          const DeviceMemory device_scale(scale);
          DeviceQuantParams device_params{params.quantizer, one.granularity, {}, {}};
          device_params.scale = {device_scale.as<void>(), DType::kF32,
                                 Shape{static_cast<std::int64_t>(scales)}};
          const DeviceMemory y(x.size() + offset);
          const DeviceMemory mask(expected_mask.size());
          Bytes moved(offset);
          moved.insert(moved.end(), x.begin(), x.end());
          const DeviceMemory device_x(moved);
          DeviceCalibrationCollector collector(GetParam(), context());
          run_on_device([&] {
            collector.observe_and_fake_quantize({device_x.as() + offset, GetParam(), one.shape},
                                                device_params,
                                                {y.as() + offset, GetParam(), one.shape},
                                                mask.span<std::uint8_t>(), context(), stream());
          });
          const std::string what = "case " + std::to_string(number - 1);
          ASSERT_EQ(device_fault(), "") << what;
          const auto found = y.content<std::byte>();
          EXPECT_EQ(Bytes(found.begin() + static_cast<std::ptrdiff_t>(offset), found.end()),
                    expected_y)
              << what;
          EXPECT_EQ(mask.content<std::uint8_t>(), expected_mask) << what;
          const CalibrationCollector counted = collector.to_host(context(), stream());
          if (count > 0) {
            EXPECT_EQ(counted.save(), expected.save()) << what;
          }
          EXPECT_EQ(counted.statistics().count, one.shape.count()) << what;
        }
      }
    }
  }
}

TEST_P(DeviceCalibration, MergesByAddingCountsAndForgetsByReset) {
  const Bytes a = to_bytes(GetParam(), normal(500, 1, 1.0));
  const Bytes b = to_bytes(GetParam(), normal(700, 2, 9.0));
  const DeviceMemory device_a(a);
  const DeviceMemory device_b(b);
  DeviceCalibrationCollector collector(GetParam(), context());
  DeviceCalibrationCollector other(GetParam(), context());
  run_on_device([&] {
    collector.observe({device_a.as<void>(), GetParam(), Shape{500}}, context(), stream());
    other.observe({device_b.as<void>(), GetParam(), Shape{700}}, context(), stream());
    collector.merge(other, context(), stream());
  });
  CalibrationCollector host(GetParam());
  host.observe({a.data(), GetParam(), Shape{500}});
  host.observe({b.data(), GetParam(), Shape{700}});
  EXPECT_EQ(collector.to_host(context(), stream()).save(), host.save());
  run_on_device([&] { collector.reset(context(), stream()); });
  EXPECT_EQ(collector.to_host(context(), stream()).statistics().count, 0);
}

/// Observe, calibrate and quantize as one graph: each launch sees the batches so far.
TEST_P(DeviceCalibration, IsAStepOfACapturedGraph) {
  const Bytes x = to_bytes(GetParam(), normal(900, 3, 2.0));
  const DeviceMemory device_x(x);
  const DeviceMemory y(x.size());
  const DeviceTensorView batch(device_x.as<void>(), GetParam(), Shape{900});
  DeviceCalibrationCollector collector(GetParam(), context());
  const CalibrationOptions method{.method = CalibMethod::kMse};
  const auto step = [&] {
    collector.observe(batch, context(), stream());
    collector.compute(method, scales(), context(), stream());
    DeviceQuantParams params;
    params.quantizer.narrow_range = true;
    params.scale = scales().scale;
    fake_quantize(batch, params, {y.as<void>(), GetParam(), Shape{900}}, {}, context(), stream());
  };
  const Enqueued enqueued = enqueued_by(step);
  EXPECT_EQ(enqueued.others, 0);
  EXPECT_LE(enqueued.kernels, 26);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  run_on_device([&] { collector.reset(context(), stream()); });

  const CapturedGraph graph(step, device_under_test().stream);
  CalibrationCollector host(GetParam());
  for (int i = 1; i <= 2; ++i) {
    graph.run();
    host.observe({x.data(), GetParam(), Shape{900}});
    const CalibrationResult expected = host.compute(method);
    expect_answer(expected, "launch " + std::to_string(i));
    Bytes expected_y(x.size());
    fake_quantize(ConstTensorView(x.data(), GetParam(), Shape{900}), expected.params,
                  TensorView(expected_y.data(), GetParam(), Shape{900}));
    EXPECT_EQ(y.content<std::byte>(), expected_y);
  }
  EXPECT_EQ(collector.to_host(context(), stream()).statistics().count, 1800);
}

TEST_P(DeviceCalibration, OfLayersAndModelsIsTheHosts) {
  const Bytes a = to_bytes(GetParam(), normal(400, 4, 1.0));
  const Bytes b = to_bytes(GetParam(), normal(300, 5, 5.0));
  const DeviceMemory device_a(a);
  const DeviceMemory device_b(b);
  const auto host = [&](const Bytes& bytes) {
    return ConstTensorView(bytes.data(), GetParam(),
                           Shape{static_cast<std::int64_t>(bytes.size() / 2)});
  };
  const auto device = [&](const DeviceMemory& memory) {
    return ConstDeviceTensorView(memory.as<void>(), GetParam(),
                                 Shape{static_cast<std::int64_t>(memory.size_bytes() / 2)});
  };
  const std::vector<LayerActivations> layers = {
      {"first", {host(a), host(b)}}, {"second", {host(b)}}, {"none", {}}};
  const std::vector<DeviceLayerActivations> device_layers = {
      {"first", {device(device_a), device(device_b)}},
      {"second", {device(device_b)}},
      {"none", {}}};
  for (const CalibrationOptions& method :
       {CalibrationOptions{.method = CalibMethod::kMse, .symmetric = false},
        CalibrationOptions{.method = CalibMethod::kEntropy,
        .dialect = EntropyDialect::kOriginal}}) {
    const auto expected = calibrate_model(layers, method);
    const auto found = calibrate_model(device_layers, method, context(), stream());
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].layer_name, expected[i].layer_name);
      EXPECT_EQ(found[i].result.params.scale, expected[i].result.params.scale);
      EXPECT_EQ(found[i].result.params.zero_point, expected[i].result.params.zero_point);
      EXPECT_EQ(found[i].result.mse, expected[i].result.mse);
      EXPECT_EQ(found[i].result.sqnr_db, expected[i].result.sqnr_db);
    }
  }
}

TEST_P(DeviceCalibration, RefusesWhatDoesNotFitAndStillWorks) {
  const DType other = GetParam() == DType::kF16 ? DType::kBF16 : DType::kF16;
  const DeviceMemory x(to_bytes(GetParam(), std::vector<double>(8, 2.0)));
  DeviceCalibrationCollector collector(GetParam(), context());
  expect_refused([&] { DeviceCalibrationCollector(DType::kF64, context()); },
                 {"dtype is F64", "BF16"});
  const auto observe = [&](ConstDeviceTensorView batch) {
    collector.observe(batch, context(), stream());
  };
  expect_refused(
      [&] {
        observe({x.as<void>(), other, Shape{8}});
      },
      {"batch.dtype()", to_string(other), to_string(GetParam())});
  std::uint16_t host[8] = {};
  expect_refused([&] { observe({host, GetParam(), Shape{8}}); }, {"batch is ", "device memory"});
  expect_refused([&] { observe({nullptr, GetParam(), Shape{8}}); }, {"batch.data() is null"});
  const auto compute = [&](const CalibrationOptions& method, const DeviceScales& to) {
    collector.compute(method, to, context(), stream());
  };
  expect_refused([&] { compute({.percentile = 101.0}, scales()); }, {"percentile is 101"});
  expect_refused([&] { compute({.format = Format::kE4M3, .symmetric = false}, scales()); },
                 {"symmetric is false"});
  expect_refused(
      [&] {
        compute({.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOriginal}, scales());
      },
      {"method.dialect is original", "host"});
  DeviceScales wrong = scales();
  wrong.scale = {scale_.as<void>(), DType::kF64, Shape{1}};
  expect_refused([&] { compute({}, wrong); }, {"scales.scale.dtype()", "F64", "F32"});
  wrong = scales();
  wrong.zero_point = {};
  expect_refused([&] { compute({.symmetric = false}, wrong); }, {"scales.zero_point.size()"});
  wrong.zero_point = {scale_.as<std::int32_t>(), 1};
  expect_refused([&] { compute({}, wrong); }, {"scales.scale is ", "scales.zero_point"});
  const DeviceMemory y(8 * 2);
  const auto both = [&](ConstDeviceTensorView of, DeviceTensorView to, bool with_scale) {
    DeviceQuantParams params;
    if (with_scale) params.scale = scales().scale;
    collector.observe_and_fake_quantize(of, params, to, {}, context(), stream());
  };
  const ConstDeviceTensorView view(x.as<void>(), GetParam(), Shape{8});
  expect_refused(
      [&] {
        both({x.as<void>(), other, Shape{8}}, {y.as<void>(), other, Shape{8}}, true);
      },
      {"x.dtype()", to_string(other), to_string(GetParam())});
  expect_refused([&] { both(view, {x.as<void>(), GetParam(), Shape{8}}, true); }, {"y is ", "x"});
  expect_refused([&] { both(view, {y.as<void>(), GetParam(), Shape{7}}, true); }, {"y.shape()"});
  expect_refused(
      [&] {
        both(view, {y.as<void>(), GetParam(), Shape{8}}, false);
      },
      {"params.scale"});
  const DeviceCalibrationCollector mismatched(other, context());
  expect_refused([&] { collector.merge(mismatched, context(), stream()); }, {"other.dtype()"});

  run_on_device([&] {
    observe({x.as<void>(), GetParam(), Shape{8}});
    compute({}, scales());
  });
  EXPECT_EQ(scale_.content<float>()[0], 2.0f / 127.0f);
}

INSTANTIATE_TEST_SUITE_P(SixteenBits, DeviceCalibration, testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
