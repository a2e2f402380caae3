// The golden file's layers, which the original program made, on the device: with its rounding, in
// f64, inference of int8 layers has the original's bits; sums of real numbers are in another order.
// tests/layer/original_test.cpp says which deviations are by design.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "conformance/device_products.hpp"
#include "cuqat/device_layer.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

std::string golden_path() {
  const char* const other = std::getenv("CUQAT_SEED_GOLDEN");
  return other != nullptr ? other : CUQAT_TEST_DATA_DIR "/seed_reference.safetensors";
}

class DeviceOriginalLayers : public DeviceArguments {
 protected:
  void SetUp() override {
    CUQAT_SKIP_WITHOUT_PRODUCTS();
    if (!std::filesystem::exists(golden_path())) {
      GTEST_SKIP() << "NOTHING WAS TESTED: there is no " << golden_path();
    }
  }

  /// The names of the file's layers of these bits that have inputs.
  static std::vector<std::string> prefixes(GoldenFile& file, const std::string& bits) {
    std::vector<std::string> result;
    const std::string end = "." + bits + ".in_out";
    for (const std::string& name : file.names()) {
      if (!name.starts_with("layer.") || !name.ends_with(end)) continue;
      if (file.i64(name).at(0) == 0) continue;  // which cuqat refuses
      result.push_back(name.substr(0, name.size() - std::string("in_out").size()));
    }
    EXPECT_GT(result.size(), 3u) << bits;
    return result;
  }

  struct Outputs {
    std::vector<double> trained;
    std::vector<double> inferred;
  };
  /// Of the layer whose arrays are named so.
  static Outputs outputs(GoldenFile& file, const std::string& prefix, Format format,
                         QatProduct product) {
    QatLayerConfig config;
    config.weight.format = format;
    config.weight.symmetric = false;
    config.weight.rounding = Rounding::kOriginal;
    config.activation = config.weight;
    config.weight_granularity = Granularity::tensor();
    config.product = product;
    config.weight_dtype = DType::kF64;
    const std::int64_t in = file.i64(prefix + "in_out").at(0);
    const std::int64_t out = file.i64(prefix + "in_out").at(1);
    DeviceQatLayer layer(in, out, config, 1, context());
    const auto copy = [](const DeviceTensorView& to, const std::vector<double>& from) {
      ASSERT_EQ(to.size_bytes(), from.size() * sizeof(double));
      EXPECT_EQ(cudaMemcpy(to.data(), from.data(), to.size_bytes(), cudaMemcpyHostToDevice),
                cudaSuccess);
      EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    };
    copy(layer.change_weight(), file.f64(prefix + "weights"));
    copy(layer.change_bias(), file.f64(prefix + "bias"));
    const auto params = [&](std::size_t i) {
      return QuantParams{
          {format, Rounding::kOriginal},
          {},
          {file.f64(prefix + "scales_weight_activation").at(i)},
          {static_cast<std::int32_t>(file.i64(prefix + "zero_points_weight_activation").at(i))}};
    };
    layer.set_weight_params(params(0), context());
    layer.set_activation_params(params(1), context());
    const DeviceMemory x(file.f64(prefix + "input"));
    const auto size = static_cast<std::size_t>(out);
    const DeviceMemory trained(std::vector<double>(size, -7.0));
    const DeviceMemory inferred(std::vector<double>(size, -7.0));
    const ConstDeviceTensorView input(x.as<const double>(), Shape{1, in});
    DeviceQatLayer::Saved saved;
    run_product([&] {
      layer.forward_train(input, {trained.as<double>(), Shape{1, out}}, saved, context(), stream());
      layer.forward_infer(input, {inferred.as<double>(), Shape{1, out}}, context(), stream());
    });
    return {trained.content<double>(), inferred.content<double>()};
  }
};

TEST_F(DeviceOriginalLayers, HaveTheGoldenForwardInfer) {
  GoldenFile file(golden_path());
  for (const std::string& prefix : prefixes(file, "int8")) {
    const Outputs found = outputs(file, prefix, Format::kInt8, QatProduct::kCodes);
    const Bytes expected = bytes_of(file.f64(prefix + "forward_infer"));
    EXPECT_EQ(bytes_of(found.inferred), expected) << prefix;
    EXPECT_EQ(bytes_of(found.trained), expected) << prefix;
  }
}

TEST_F(DeviceOriginalLayers, AreNearTheGoldenForwardTrain) {
  GoldenFile file(golden_path());
  for (const auto& [bits, format] : {std::pair("int8", Format::kInt8), {"int4", Format::kInt4}}) {
    for (const std::string& prefix : prefixes(file, bits)) {
      const Outputs found = outputs(file, prefix, format, QatProduct::kNumbers);
      const std::vector<double> expected = file.f64(prefix + "forward_train");
      EXPECT_EQ(bytes_of(found.inferred), bytes_of(found.trained)) << prefix;
      ASSERT_EQ(found.trained.size(), expected.size()) << prefix;
      double largest = 0.0;
      for (const double value : expected) largest = std::max(largest, std::abs(value));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LE(std::abs(found.trained[i] - expected[i]), 1e-12 * largest) << prefix << i;
      }
    }
  }
}

}  // namespace
}  // namespace cuqat::test
