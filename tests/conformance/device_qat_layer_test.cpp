// The layer on the device beside the layer of the host.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_layer.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 37;
constexpr std::int64_t kIn = 48;
constexpr std::int64_t kOut = 21;

/// The oracle, on this thread.
HostOptions by_reference() { return {Backend::named("reference"), 1}; }

std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& value : result) value = static_cast<float>(random.uniform(-2.0, 2.0));
  return result;
}

struct Configuration {
  const char* name;
  Format weight;
  Format activation;
  bool symmetric;
  bool per_channel;
  QatProduct product;
  bool learned;

  [[nodiscard]] QatLayerConfig config() const {
    QatLayerConfig result;
    result.weight.format = weight;
    result.activation.format = activation;
    result.weight.symmetric = symmetric;
    result.activation.symmetric = symmetric;
    result.weight_granularity = per_channel ? Granularity::channel(0) : Granularity::tensor();
    result.product = product;
    result.learn_weight_scale = learned;
    result.learn_activation_scale = learned;
    return result;
  }
};

void PrintTo(const Configuration& configuration, std::ostream* out) { *out << configuration.name; }

/// A layer on the device, the same on the host, and a batch.
class DeviceLayer : public DeviceArguments, public ::testing::WithParamInterface<Configuration> {
 protected:
  DeviceLayer()
      : config_(GetParam().config()),
        host_(kIn, kOut, config_, 5),
        layer_(kIn, kOut, config_, 5, context()),
        input_(inputs()),
        dy_(numbers(kRows * kOut, 2)),
        device_x_(input_),
        device_dy_(dy_),
        device_y_(std::vector<float>(kRows * kOut, -7.0f)) {}

  /// One of the first row is clipped: the layer is calibrated without it.
  static std::vector<float> inputs() {
    std::vector<float> result = numbers(kRows * kIn, 1);
    result[3] = 9.0f;
    return result;
  }

  [[nodiscard]] ConstTensorView x() const { return {input_.data(), Shape{kRows, kIn}}; }
  [[nodiscard]] ConstTensorView dy() const { return {dy_.data(), Shape{kRows, kOut}}; }
  [[nodiscard]] ConstDeviceTensorView device_x() const {
    return {device_x_.as<const float>(), Shape{kRows, kIn}};
  }
  [[nodiscard]] ConstDeviceTensorView device_dy() const {
    return {device_dy_.as<const float>(), Shape{kRows, kOut}};
  }
  [[nodiscard]] DeviceTensorView device_y() const {
    return {device_y_.as<float>(), Shape{kRows, kOut}};
  }

  void calibrate() {
    const ConstTensorView batch(input_.data() + kIn, Shape{kRows - 1, kIn});
    host_.calibrate_from_data({&batch, 1}, by_reference());
    const ConstDeviceTensorView device_batch(device_x_.as<const float>() + kIn,
                                             Shape{kRows - 1, kIn});
    layer_.calibrate_from_data({&device_batch, 1}, context(), stream());
  }

  std::vector<float> host_forward(QatLayer::Saved& saved) {
    std::vector<float> y(kRows * kOut);
    host_.forward_train(x(), {y.data(), Shape{kRows, kOut}}, saved, by_reference());
    return y;
  }
  std::vector<float> device_forward() {
    run_on_device(
        [&] { layer_.forward_train(device_x(), device_y(), saved_, context(), stream()); });
    return device_y_.content<float>();
  }
  [[nodiscard]] bool is_integer_product() const {
    return config_.product == QatProduct::kCodes && is_integer(config_.weight.format);
  }

  /// What the two products may differ by: each is within this of the exact one.
  void expect_near(const std::vector<float>& found, const std::vector<float>& expected,
                   double relative) const {
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0.0;
    for (const float value : expected) largest = std::max(largest, std::abs(double{value}));
    ASSERT_GT(largest, 0.0);
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_LE(std::abs(double{found[i]} - expected[i]), relative * largest) << i;
    }
  }

  QatLayerConfig config_;
  QatLayer host_;
  DeviceQatLayer layer_;
  std::vector<float> input_;
  std::vector<float> dy_;
  DeviceMemory device_x_;
  DeviceMemory device_dy_;
  DeviceMemory device_y_;
  DeviceQatLayer::Saved saved_;
};

TEST_P(DeviceLayer, BeginsAsTheHostsLayer) {
  const QatLayer copy = layer_.to_host(context(), stream());
  EXPECT_EQ(std::memcmp(copy.weight().data(), host_.weight().data(), host_.weight().size_bytes()),
            0);
  EXPECT_FALSE(copy.is_calibrated());
}

TEST_P(DeviceLayer, CalibratesAsTheHostsLayer) {
  calibrate();
  QatLayer copy = layer_.to_host(context(), stream());
  EXPECT_EQ(copy.activation_params().scale, host_.activation_params().scale);
  EXPECT_EQ(copy.weight_params(by_reference()).scale, host_.weight_params(by_reference()).scale);
  const auto zero_points = [](const QuantParams& params) {
    std::vector<std::int32_t> result = params.zero_point;
    result.resize(params.scale.size());
    return result;
  };
  EXPECT_EQ(zero_points(copy.activation_params()), zero_points(host_.activation_params()));
  EXPECT_EQ(zero_points(copy.weight_params(by_reference())),
            zero_points(host_.weight_params(by_reference())));
}

TEST_P(DeviceLayer, ComputesAsTheHostsLayer) {
  calibrate();
  QatLayer::Saved saved;
  const std::vector<float> expected = host_forward(saved);
  const std::vector<float> found = device_forward();
  if (is_integer_product()) {
    EXPECT_EQ(found, expected);
  } else {
    expect_near(found, expected, 1e-5);
  }
  const DeviceMemory inferred(std::vector<float>(kRows * kOut, -3.0f));
  run_on_device([&] {
    layer_.forward_infer(device_x(), {inferred.as<float>(), Shape{kRows, kOut}}, context(),
                         stream());
  });
  EXPECT_EQ(inferred.content<float>(), found);
}

TEST_P(DeviceLayer, HasTheHostsGradients) {
  calibrate();
  QatLayer::Saved saved;
  host_forward(saved);
  device_forward();
  std::vector<float> dx(kRows * kIn);
  std::vector<float> dweight(kOut * kIn);
  std::vector<float> dbias(kOut);
  const std::size_t scales = host_.weight_params(by_reference()).scale.size();
  std::vector<double> dscale(scales);
  std::vector<double> dscale_of_x(1);
  QatGradients expected{{dx.data(), Shape{kRows, kIn}},
                        {dweight.data(), Shape{kOut, kIn}},
                        {dbias.data(), Shape{kOut}},
                        {},
                        {}};
  const DeviceMemory device_dx(dx);
  const DeviceMemory device_dweight(dweight);
  const DeviceMemory device_dbias(dbias);
  const DeviceMemory device_dscale(std::vector<float>(scales, -1.0f));
  const DeviceMemory device_dscale_of_x(std::vector<float>(1, -1.0f));
  DeviceQatGradients gradients{{device_dx.as<float>(), Shape{kRows, kIn}},
                               {device_dweight.as<float>(), Shape{kOut, kIn}},
                               {device_dbias.as<float>(), Shape{kOut}},
                               {},
                               {}};
  if (config_.learn_weight_scale) {
    expected.weight.dscale = dscale;
    expected.activation.dscale = dscale_of_x;
    gradients.weight.dscale = {device_dscale.as<float>(), Shape{static_cast<std::int64_t>(scales)}};
    gradients.activation.dscale = {device_dscale_of_x.as<float>(), Shape{1}};
  }
  host_.backward(dy(), saved, expected, by_reference());
  run_on_device([&] { layer_.backward(device_dy(), saved_, gradients, context(), stream()); });
  expect_near(device_dx.content<float>(), dx, 1e-5);
  expect_near(device_dweight.content<float>(), dweight, 1e-5);
  expect_near(device_dbias.content<float>(), dbias, 1e-5);
  if (config_.learn_weight_scale) {
    expect_near(device_dscale.content<float>(), {dscale.begin(), dscale.end()}, 1e-4);
    expect_near(device_dscale_of_x.content<float>(), {dscale_of_x.begin(), dscale_of_x.end()},
                1e-4);
  }
  // Where x was clipped there is nothing.
  EXPECT_EQ(device_dx.content<float>()[3], 0.0f);
}

TEST_P(DeviceLayer, FollowsItsWeights) {
  calibrate();
  device_forward();
  const std::vector<float> weights = numbers(kOut * kIn, 8);
  std::memcpy(host_.change_weight().data(), weights.data(), weights.size() * sizeof(float));
  EXPECT_EQ(cudaMemcpy(layer_.change_weight().data(), weights.data(),
                       weights.size() * sizeof(float), cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  QatLayer::Saved saved;
  const std::vector<float> expected = host_forward(saved);
  const std::vector<float> found = device_forward();
  if (is_integer_product()) {
    EXPECT_EQ(found, expected);
  } else {
    expect_near(found, expected, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, DeviceLayer,
    ::testing::Values(
        Configuration{"int8", Format::kInt8, Format::kInt8, true, true, QatProduct::kCodes, false},
        Configuration{"int4_affine", Format::kInt4, Format::kInt8, false, true, QatProduct::kCodes,
                      false},
        Configuration{"int8_tensor", Format::kInt8, Format::kInt8, false, false, QatProduct::kCodes,
                      false},
        Configuration{"int4_learned", Format::kInt4, Format::kInt8, true, true, QatProduct::kCodes,
                      true},
        Configuration{"e4m3", Format::kE4M3, Format::kE4M3, true, true, QatProduct::kCodes, false},
        Configuration{"numbers", Format::kInt8, Format::kInt8, false, true, QatProduct::kNumbers,
                      false},
        Configuration{"mixed", Format::kInt4, Format::kE5M2, true, true, QatProduct::kNumbers,
                      true}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace cuqat::test
