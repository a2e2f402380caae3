// The search for an equalization's strength on the device: all that the host's search returns, bit
// for bit, and what it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_products.hpp"
#include "conformance/equalizations.hpp"
#include "cuqat/device_equalization.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

struct LayerShape {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
};

struct Layer {
  DType dtype;
  Shape x_shape;
  Shape w_shape;
  std::vector<double> x;
  std::vector<double> w;
};

/// Channels of x that differ by up to 2^7, of w by 2^2; one of each is 0, where there are some.
Layer some_layer(DType dtype, const LayerShape& shape, std::uint64_t seed = 5) {
  Random random(seed);
  Layer layer{dtype,
              {shape.rows, shape.inputs},
              {shape.outputs, shape.inputs},
              std::vector<double>(static_cast<std::size_t>(shape.rows * shape.inputs)),
              std::vector<double>(static_cast<std::size_t>(shape.outputs * shape.inputs))};
  const auto channel = [&](std::size_t i) {
    return static_cast<int>(i % static_cast<std::size_t>(shape.inputs));
  };
  for (std::size_t i = 0; i < layer.x.size(); ++i) {
    layer.x[i] = channel(i) == 3 ? 0.0 : std::ldexp(random.normal(), channel(i) % 8);
  }
  for (std::size_t i = 0; i < layer.w.size(); ++i) {
    layer.w[i] = channel(i) == 5 ? 0.0 : std::ldexp(random.normal(), -(channel(i) % 3));
  }
  return layer;
}

/// The same numbers on the host and on the device give the same answer. x and w begin so many bytes
/// past an aligned address.
void expect_the_hosts_answer(const Layer& layer, const EqualizationOptions& options,
                             std::size_t offset = 0) {
  const Bytes x = to_bytes(layer.dtype, layer.x);
  const Bytes w = to_bytes(layer.dtype, layer.w);
  const Equalization expected = find_equalization({x.data(), layer.dtype, layer.x_shape},
                                                  {w.data(), layer.dtype, layer.w_shape}, options,
                                                  {Backend::named("reference"), 1});
  const Placed device_x(x, offset);
  const Placed device_w(w, 2 * offset);
  const Equalization found =
      find_equalization({device_x.as<void>(), layer.dtype, layer.x_shape},
                        {device_w.as<void>(), layer.dtype, layer.w_shape}, options,
                        device_under_test().context, device_under_test().stream);
  EXPECT_EQ(device_fault(), "");
  expect_same_bits(found, expected);
  EXPECT_EQ(device_x.content<std::byte>(), x) << "x was written";
  EXPECT_EQ(device_w.content<std::byte>(), w) << "w was written";
}

std::string describe(const CalibrationOptions& options) {
  return std::string(to_string(options.method)) + " " + std::string(to_string(options.dialect)) +
         " " + std::string(to_string(options.format)) +
         (options.symmetric ? " symmetric" : " affine");
}

const std::vector<CalibrationOptions>& methods() {
  static const std::vector<CalibrationOptions> kMethods = [] {
    std::vector<CalibrationOptions> all;
    for (const CalibMethod method : {CalibMethod::kMinMax, CalibMethod::kMse, CalibMethod::kEntropy,
                                     CalibMethod::kPercentile, CalibMethod::kSqnr}) {
      for (const Format format : {Format::kInt8, Format::kE4M3, Format::kInt4, Format::kE5M2}) {
        all.push_back({.method = method, .percentile = 98.0, .format = format});
        if (is_integer(format)) {
          all.push_back(
              {.method = method, .percentile = 98.0, .format = format, .symmetric = false});
        }
      }
    }
    all.push_back({.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOnnxRuntime});
    all.push_back({.method = CalibMethod::kMinMax, .rounding = Rounding::kOriginal});
    return all;
  }();
  return kMethods;
}

/// No executor's order can be one of a graph: the search waits.
void set_some_order(int number) { set_device_order(number % (num_device_orders() - 1)); }

class DeviceFindEqualization : public DeviceArguments {};

TEST_F(DeviceFindEqualization, HasTheHostsBitsForEveryMethodAndFormat) {
  // Each method once for x and once for w, with one of the dtypes. Sanitizers, which make it slow,
  // see a few.
  const std::size_t stride = kThreadSanitized ? 100 : kSanitized ? 15 : 3;
  std::size_t first = 0;
  int number = 0;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (kThreadSanitized && dtype != DType::kBF16) continue;
    const Layer layer = some_layer(dtype, {21, 13, 2});
    for (std::size_t i = first++; i < methods().size(); i += stride) {
      EqualizationOptions options;
      options.activation = methods()[i];
      options.weight = methods()[(i + 7) % methods().size()];
      options.alphas = {0.6};
      SCOPED_TRACE(describe(options.activation) + ", w " + describe(options.weight));
      set_some_order(number++);
      expect_the_hosts_answer(layer, options);
    }
  }
}

TEST_F(DeviceFindEqualization, HasTheHostsBitsForEveryShapeAndType) {
  int layer = 0;
  int number = 0;
  for (const LayerShape& shape : std::vector<LayerShape>{{0, 5, 3},
                                                         {4, 0, 3},
                                                         {4, 5, 0},
                                                         {0, 0, 0},
                                                         {1, 1, 1},
                                                         {7, 1, 5},
                                                         {5, 7, 1},
                                                         {65, 17, 129},
                                                         {67, 31, 7}}) {
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
      EqualizationOptions options;
      options.activation.symmetric = number % 2 == 0;
      options.weight.symmetric = number % 3 == 0;
      options.alphas = {0.0, 0.5, 1.0};
      if (kThreadSanitized && layer++ % 5 != 0) continue;
      if (shape.outputs == 1 && dtype != DType::kF64) options.weight.method = CalibMethod::kMse;
      SCOPED_TRACE(std::to_string(shape.rows) + " x " + std::to_string(shape.inputs) + " x " +
                   std::to_string(shape.outputs) + " " + std::string(to_string(dtype)));
      set_some_order(number++);
      expect_the_hosts_answer(some_layer(dtype, shape), options);
    }
  }
}

TEST_F(DeviceFindEqualization, TriesTheHostsStrengths) {
  set_device_order(0);
  expect_the_hosts_answer(some_layer(DType::kF32, {12, 16, 3}), {});
}

TEST_F(DeviceFindEqualization, TakesTensorsAtAnyAddress) {
  int number = 0;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16}) {
    for (const std::size_t offset : {1u, 2u, 3u}) {
      set_some_order(number++);
      expect_the_hosts_answer(some_layer(dtype, {9, 11, 5}), {.alphas = {0.4, 0.6}}, offset);
    }
  }
}

/// So many elements of x that a search takes bins: its result is not exact, and says so.
TEST_F(DeviceFindEqualization, HasTheHostsBitsOfALargeTensor) {
  if (kSanitized) GTEST_SKIP() << "takes minutes under sanitizers";
  set_device_order(0);
  const Layer layer = some_layer(DType::kF32, {6'000, 11, 2});
  ASSERT_GT(layer.x_shape.count(), kMaxSearchedElements);
  for (const CalibMethod method : {CalibMethod::kMse, CalibMethod::kPercentile}) {
    expect_the_hosts_answer(layer, {.activation = {.method = method}, .alphas = {0.5}});
  }
}

/// More than are searched in a launch.
TEST_F(DeviceFindEqualization, HasTheHostsBitsOfMoreScalesThanAtOnce) {
  if (kThreadSanitized) GTEST_SKIP() << "takes minutes under ThreadSanitizer";
  set_device_order(0);
  expect_the_hosts_answer(some_layer(DType::kF32, {4, 3, 131}),
                          {.weight = {.method = CalibMethod::kMse}, .alphas = {0.5}});
}

/// All errors are NaN then: the least strength is taken.
TEST_F(DeviceFindEqualization, HasTheHostsBitsWhereSomethingIsNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  int number = 0;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    for (const double value : {std::nan(""), kInfinity, -kInfinity}) {
      Layer layer = some_layer(dtype, {6, 9, 4});
      layer.x[10] = value;
      if (number % 2 == 0) {  // an output and an input of nothing finite
        for (std::size_t i = 0; i < 9; ++i) layer.w[i] = value;
        for (std::size_t i = 2; i < layer.x.size(); i += 9) layer.x[i] = value;
      }
      set_some_order(number++);
      expect_the_hosts_answer(layer, {.alphas = {0.9, 0.2, 0.6}});
    }
  }
}

TEST_F(DeviceFindEqualization, HasTheHostsBitsOfZeros) {
  set_device_order(0);
  Layer layer = some_layer(DType::kF32, {6, 9, 4});
  std::fill(layer.x.begin(), layer.x.end(), -0.0);
  for (const bool symmetric : {true, false}) {
    for (const CalibMethod method : {CalibMethod::kMinMax, CalibMethod::kPercentile,
                                     CalibMethod::kEntropy, CalibMethod::kMse}) {
      if (kThreadSanitized && method != CalibMethod::kPercentile) continue;
      const CalibrationOptions options{.method = method, .symmetric = symmetric};
      expect_the_hosts_answer(layer, {options, options, {0.5}});
    }
  }
}

TEST_F(DeviceFindEqualization, RefusesWhatDoesNotFitAndStillWorks) {
  const auto find = [&](ConstDeviceTensorView x, ConstDeviceTensorView w,
                        const EqualizationOptions& options) {
    static_cast<void>(find_equalization(x, w, options, context(), stream()));
  };
  const ConstDeviceTensorView x(x_, DType::kF32, Shape{25, 40});
  const ConstDeviceTensorView w(y_, DType::kF32, Shape{10, 40});
  expect_refused([&] { find({x_, DType::kF32, Shape{kCount}}, w, {}); }, {"x.shape()", "rank 2"});
  expect_refused([&] { find(x, {y_, DType::kF32, Shape{400}}, {}); }, {"w.shape()", "rank 2"});
  expect_refused(
      [&] {
        find(x, {y_, DType::kF32, Shape{40, 10}}, {});
      },
      {"w has 10 inputs", "x has 40"});
  expect_refused([&] { find(x, {y_, DType::kBF16, Shape{10, 40}}, {}); }, {"w.dtype() is BF16"});
  expect_refused([&] { find(x, w, {.alphas = {0.5, 2.0}}); }, {"alpha is 2"});
  expect_refused([&] { find(x, w, {.alphas = {std::nan("")}}); }, {"alpha is nan"});
  expect_refused([&] { find(x, w, {.weight = {.percentile = 101.0}}); }, {"percentile"});
  expect_refused([&] { find(x, w, {.activation = {.format = Format::kE4M3, .symmetric = false}}); },
                 {"symmetric is false"});
  expect_refused(
      [&] {
        find(x, w,
             {.activation = {.method = CalibMethod::kEntropy,
                             .dialect = EntropyDialect::kOriginal}});
      },
      {"method.dialect is original"});
  const ConstDeviceTensorView wide_x(x_, DType::kF64, Shape{10, 10});
  const ConstDeviceTensorView wide_w(y_, DType::kF64, Shape{10, 10});
  expect_refused([&] { find(wide_x, wide_w, {.weight = {.method = CalibMethod::kMse}}); },
                 {"x.dtype() is F64"});
  std::vector<float> host(1000, 1.0f);
  expect_refused([&] { find({host.data(), Shape{25, 40}}, w, {}); }, {"x is ", "device memory"});
  expect_refused([&] { find(x, {host.data(), Shape{25, 40}}, {}); }, {"w is ", "device memory"});
  expect_refused([&] { find({nullptr, DType::kF32, Shape{25, 40}}, w, {}); }, {"x.data() is null"});
  const Equalization found = find_equalization(x, w, {.alphas = {0.5}}, context(), stream());
  EXPECT_EQ(found.alpha, 0.5);
  EXPECT_EQ(found.factor, std::vector<double>(40, 1.0));
}

}  // namespace
}  // namespace cuqat::test
