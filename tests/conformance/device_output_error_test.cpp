// The output error on the device: the host's bits for every shape, dtype, address and piece; what
// it refuses, and what it puts on the stream.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_products.hpp"
#include "cuqat/device_equalization.hpp"
#include "support/captured_graph.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct LayerShape {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
};

struct LayerTypes {
  DType x;
  DType w;
  DType xq;
  DType wq;
};
constexpr LayerTypes all_of(DType dtype) { return {dtype, dtype, dtype, dtype}; }

/// A layer and its quantized copy.
struct Layer {
  LayerShape shape;
  LayerTypes types;
  Bytes x;
  Bytes w;
  Bytes xq;
  Bytes wq;

  [[nodiscard]] Shape x_shape() const { return {shape.rows, shape.inputs}; }
  [[nodiscard]] Shape w_shape() const { return {shape.outputs, shape.inputs}; }

  /// By the reference.
  [[nodiscard]] double expected() const {
    return output_error({x.data(), types.x, x_shape()}, {w.data(), types.w, w_shape()},
                        {xq.data(), types.xq, x_shape()}, {wq.data(), types.wq, w_shape()},
                        {Backend::named("reference"), 1});
  }
};

std::vector<double> rounded(std::vector<double> values, double steps) {
  for (double& value : values) value = std::round(value * steps) / steps;
  return values;
}

/// Numbers of many magnitudes, whose sums round at almost every step.
std::vector<double> varied(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) {
    value = std::ldexp(random.normal(), static_cast<int>(random() % 13) - 6);
    if (random() % 29 == 0) value = 0.0;
  }
  return values;
}

Layer some_layer(const LayerShape& shape, const LayerTypes& types, std::uint64_t seed = 1) {
  const std::vector<double> x = varied(shape.rows * shape.inputs, seed);
  const std::vector<double> w = varied(shape.outputs * shape.inputs, seed + 1);
  return {shape,
          types,
          to_bytes(types.x, x),
          to_bytes(types.w, w),
          to_bytes(types.xq, rounded(x, 4)),
          to_bytes(types.wq, rounded(w, 16))};
}

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

class DeviceOutputError : public DeviceArguments {
 protected:
  /// With x, w, xq and wq so many bytes past an aligned address.
  static double found(const Layer& layer, const DeviceContext& on, std::size_t offset = 0) {
    const Placed x(layer.x, offset);
    const Placed w(layer.w, 2 * offset);
    const Placed xq(layer.xq, 3 * offset);
    const Placed wq(layer.wq, 5 * offset);
    const Placed result(std::vector<double>{-1.0});
    run_on_device([&] {
      output_error({x.as<void>(), layer.types.x, layer.x_shape()},
                   {w.as<void>(), layer.types.w, layer.w_shape()},
                   {xq.as<void>(), layer.types.xq, layer.x_shape()},
                   {wq.as<void>(), layer.types.wq, layer.w_shape()}, result.span<double>(), on,
                   stream());
    });
    EXPECT_EQ(device_fault(), "");
    return result.content<double>().front();
  }
  static void expect_hosts_bits(const Layer& layer, std::size_t offset = 0) {
    EXPECT_EQ(bits(found(layer, context(), offset)), bits(layer.expected()))
        << layer.shape.rows << " x " << layer.shape.inputs << " x " << layer.shape.outputs << " "
        << to_string(layer.types.x) << " at " << offset;
  }
};

TEST_F(DeviceOutputError, HasTheHostsBitsForEveryShapeAndType) {
  constexpr DType kF64 = DType::kF64;
  constexpr DType kF32 = DType::kF32;
  constexpr DType kF16 = DType::kF16;
  constexpr DType kBF16 = DType::kBF16;
  const std::vector<LayerTypes> types = {all_of(kF32),
                                         all_of(kF64),
                                         all_of(kF16),
                                         all_of(kBF16),
                                         {kF32, kF32, kBF16, kF16},
                                         {kF64, kBF16, kF32, kF64},
                                         {kF32, kF64, kF64, kF16},
                                         {kF32, kF32, kF32, kF64}};
  int number = 0;
  for (const LayerShape& shape : std::vector<LayerShape>{{0, 3, 2},
                                                         {3, 0, 2},
                                                         {2, 3, 0},
                                                         {0, 0, 0},
                                                         {1, 1, 1},
                                                         {2, 16, 31},
                                                         {63, 15, 127},
                                                         {64, 16, 128},
                                                         {65, 17, 129},
                                                         {3, 101, 257},
                                                         {5, 7, 1025},
                                                         {131, 33, 3}}) {
    for (const LayerTypes& of_layer : types) {
      set_device_order(number++ % num_device_orders());
      expect_hosts_bits(some_layer(shape, of_layer));
    }
  }
}

/// Rows and outputs whose squares do not fit in shared memory at once, and more rows than a block
/// adds at a time.
TEST_F(DeviceOutputError, HasTheHostsBitsOfLongRowsAndManyRows) {
  set_device_order(1);
  expect_hosts_bits(some_layer({2, 3, 2049}, all_of(DType::kF32)));
  expect_hosts_bits(some_layer({2051, 2, 3}, all_of(DType::kF32)));
}

/// Where a fused product has other bits than a rounded one: its second half is below f64's.
TEST_F(DeviceOutputError, RoundsTheProductsOfF64) {
  Layer layer = some_layer({5, 40, 9}, all_of(DType::kF64), 7);
  const auto perturbed = [](const Bytes& bytes, double by) {
    std::vector<double> values = to_doubles(DType::kF64, bytes);
    for (double& value : values) value *= by;
    return to_bytes(DType::kF64, values);
  };
  layer.x = perturbed(layer.x, 1.0 / 3);
  layer.w = perturbed(layer.w, 1.0 / 7);
  set_device_order(0);
  expect_hosts_bits(layer);
  // Products that leave f64, and those that are below its smallest normal number.
  for (const double by : {0x1p300, 0x1p-520, 0x1p-260}) {
    Layer scaled = layer;
    for (Bytes* bytes : {&scaled.x, &scaled.w, &scaled.xq, &scaled.wq}) {
      *bytes = perturbed(*bytes, by);
    }
    expect_hosts_bits(scaled);
  }
}

/// Products of the smallest and the largest f32 are exact in f64, as fused steps need.
TEST_F(DeviceOutputError, HasTheHostsBitsOfTheEndsOfF32) {
  set_device_order(0);
  Layer layer = some_layer({3, 5, 4}, all_of(DType::kF32));
  const std::vector<double> ends = {0x1p-149, -0x1.fffffcp-127, 0x1.fffffep127, -0x1.000002p-126,
                                    1.0,      0x1.fffffep-1,    -3.4e38};
  for (Bytes* bytes : {&layer.x, &layer.w, &layer.xq, &layer.wq}) {
    Random random(static_cast<std::uint64_t>(bytes->size()));
    for (std::size_t i = 0; i < bytes->size() / sizeof(float); ++i) {
      store_element(DType::kF32, bytes->data(), i, ends[random() % ends.size()]);
    }
  }
  expect_hosts_bits(layer);
}

TEST_F(DeviceOutputError, TakesTensorsAtAnyAddress) {
  int number = 0;
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    for (const std::size_t offset : {1u, 2u, 3u, 4u}) {
      set_device_order(number++ % num_device_orders());
      expect_hosts_bits(some_layer({9, 19, 21}, all_of(dtype)), offset);
    }
  }
}

/// However few rows the scratch memory holds.
TEST_F(DeviceOutputError, DoesNotDependOnTheScratchMemory) {
  const Layer layer = some_layer({150, 5, 9}, all_of(DType::kF32));
  const std::uint64_t expected = bits(layer.expected());
  int number = 0;
  for (const std::int64_t rows : {1, 2, 63, 64, 65, 128, 149, 150, 1000}) {
    DeviceContext::Options options;
    options.workspace_bytes = output_error_workspace_bytes(layer.shape.outputs, rows);
    const DeviceContext own(options);
    set_device_order(number++ % num_device_orders());
    EXPECT_EQ(bits(found(layer, own)), expected) << rows;
  }
}

TEST_F(DeviceOutputError, HasTheSameBitsInEveryOrder) {
  const Layer layer = some_layer({70, 20, 140}, all_of(DType::kBF16));
  const std::uint64_t expected = bits(layer.expected());
  for (int order = 0; order < num_device_orders(); ++order) {
    set_device_order(order);
    EXPECT_EQ(bits(found(layer, context())), expected) << device_order_name(order);
  }
}

TEST_F(DeviceOutputError, IsTheQuietNanWhereSomethingIsNotFinite) {
  set_device_order(0);
  const std::uint64_t quiet = bits(std::numeric_limits<double>::quiet_NaN());
  for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
    for (const double value : {std::nan(""), -std::nan(""), kInfinity, -kInfinity}) {
      for (const bool of_w : {false, true}) {
        Layer layer = some_layer({5, 4, 6}, all_of(dtype));
        store_element(dtype, of_w ? layer.w.data() : layer.x.data(), 7, value);
        EXPECT_EQ(bits(layer.expected()), quiet);
        EXPECT_EQ(bits(found(layer, context())), quiet) << value;
      }
    }
  }
}

TEST_F(DeviceOutputError, IsZeroWithoutADifferenceAndInfiniteWithoutASignal) {
  set_device_order(0);
  Layer layer = some_layer({5, 4, 6}, all_of(DType::kF32));
  const Bytes xq = layer.xq;
  layer.xq = layer.x;
  layer.wq = layer.w;
  EXPECT_EQ(bits(found(layer, context())), bits(0.0));
  layer.x.assign(layer.x.size(), std::byte{0});
  layer.xq = xq;
  EXPECT_EQ(found(layer, context()), kInfinity);
  layer.xq = layer.x;
  EXPECT_EQ(bits(found(layer, context())), bits(0.0));
}

TEST_F(DeviceOutputError, RefusesWhatDoesNotFitAndStillWorks) {
  const DeviceMemory result(std::vector<double>{-1.0, -1.0});
  const auto matrix = [&](const Shape& shape) {
    return ConstDeviceTensorView(x_, DType::kF32, shape);
  };
  const auto run = [&](const Shape& x, const Shape& w, const Shape& xq, const Shape& wq,
                       DeviceSpan<double> to, const DeviceContext& on) {
    output_error(matrix(x), matrix(w), matrix(xq), matrix(wq), to, on, stream());
  };
  const DeviceSpan<double> one(result.as<double>(), 1);
  const Shape good{3, 4};
  expect_refused([&] { run({12}, good, {12}, good, one, context()); }, {"x.shape()", "rank 2"});
  expect_refused(
      [&] {
        run(good, {4, 3}, good, {4, 3}, one, context());
      },
      {"w.shape()", "as many inputs"});
  expect_refused([&] { run(good, good, {4, 3}, good, one, context()); }, {"xq.shape()", "as x"});
  expect_refused([&] { run(good, good, good, {2, 4}, one, context()); }, {"wq.shape()", "as w"});
  expect_refused(
      [&] {
        run(good, good, good, good, {one.data(), 2}, context());
      },
      {"result.size() is 2", "1"});
  auto* const odd = reinterpret_cast<double*>(result.as() + 4);
  expect_refused(
      [&] {
        run(good, good, good, good, {odd, 1}, context());
      },
      {"result is 4 bytes past"});
  expect_refused(
      [&] {
        run(good, good, good, good, {static_cast<double*>(x_), 1}, context());
      },
      {"result is ", "apart from x"});
  double on_host = 0.0;
  expect_refused(
      [&] {
        run(good, good, good, good, {&on_host, 1}, context());
      },
      {"result is ", "device memory"});
  const std::size_t needed = output_error_workspace_bytes(3, 1);
  EXPECT_EQ(needed, 256u + 16 + 3 * 16);
  DeviceContext::Options options;
  options.workspace_bytes = needed - 1;
  const DeviceContext small(options);
  expect_refused([&] { run(good, good, good, good, one, small); },
                 {"context.workspace_bytes() is " + std::to_string(needed - 1),
                  "at least " + std::to_string(needed)});
  run(good, good, good, good, one, context());
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  EXPECT_EQ(result.content<double>(), (std::vector<double>{0.0, -1.0}));

  expect_invalid([] { static_cast<void>(output_error_workspace_bytes(-1, 1)); }, {"outputs is -1"});
  expect_invalid([] { static_cast<void>(output_error_workspace_bytes(1, 0)); },
                 {"rows_at_once is 0"});
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  expect_invalid([] { static_cast<void>(output_error_workspace_bytes(kMany, kMany)); }, {"2^63"});
}

TEST_F(DeviceOutputError, IsAFewKernelsAndRunsInAGraph) {
  const DeviceMemory result(std::vector<double>{-1.0});
  const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
  const ConstDeviceTensorView changed(y_, DType::kF32, Shape{25, 40});
  const auto run = [&] {
    output_error(matrix, matrix, changed, matrix, result.span<double>(), context(), stream());
  };
  const Enqueued enqueued = enqueued_by(run);
  EXPECT_EQ(enqueued.kernels, 4);
  EXPECT_EQ(enqueued.others, 0);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  const CapturedGraph graph(run, device_under_test().stream);
  graph.run();
  EXPECT_EQ(result.content<double>(), std::vector<double>{0.0});
  // What the graph reads when it runs again.
  ASSERT_EQ(cudaMemsetAsync(y_, 0, sizeof(float) * kCount, device_under_test().stream),
            cudaSuccess);
  graph.run();
  EXPECT_EQ(result.content<double>(), std::vector<double>{1.0});
}

}  // namespace
}  // namespace cuqat::test
