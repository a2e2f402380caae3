// The golden file's layers, which the original program made: with its rounding, in f64, the layer
// gives the original's outputs bit for bit.
//
// Deviations by design (docs/deviations.md), which are not compared:
//   5  forward_infer of int4 and FP8 layers, which the original computes in int8 codes;
//   2  forward_train of FP8 layers, as the original rounds to E4M3 in its own way, and without a
//      scale;
//   -  layers without inputs, which cuqat refuses.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/original.hpp"
#include "layer/layer_support.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

QatLayerConfig original_config(Format format, QatProduct product) {
  QatLayerConfig config;
  config.weight = options_of(format, false, Rounding::kOriginal);
  config.activation = config.weight;
  config.weight_granularity = Granularity::tensor();
  config.product = product;
  config.weight_dtype = DType::kF64;
  return config;
}

QuantParams original_params(Format format, double scale, std::int64_t zero_point) {
  QuantParams params;
  params.quantizer.format = format;
  params.quantizer.rounding = Rounding::kOriginal;
  params.scale = {scale};
  params.zero_point = {static_cast<std::int32_t>(zero_point)};
  return params;
}

/// A layer of the golden file by cuqat.
struct GoldenLayer {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::vector<double> weights;
  std::vector<double> bias;
  std::vector<double> input;
  std::vector<double> scales;             ///< Of weights, of activations.
  std::vector<std::int64_t> zero_points;  ///< Likewise.

  GoldenLayer(GoldenFile& file, const std::string& prefix)
      : in(file.i64(prefix + "in_out").at(0)),
        out(file.i64(prefix + "in_out").at(1)),
        weights(file.f64(prefix + "weights")),
        bias(file.f64(prefix + "bias")),
        input(file.f64(prefix + "input")),
        scales(file.f64(prefix + "scales_weight_activation")),
        zero_points(file.i64(prefix + "zero_points_weight_activation")) {}

  [[nodiscard]] QatLayer layer(Format format, QatProduct product) const {
    QatLayer layer(in, out, original_config(format, product));
    fill(layer.change_weight(), weights);
    fill(layer.change_bias(), bias);
    layer.set_weight_params(original_params(format, scales.at(0), zero_points.at(0)));
    layer.set_activation_params(original_params(format, scales.at(1), zero_points.at(1)));
    return layer;
  }
  [[nodiscard]] Numbers x() const { return {DType::kF64, Shape{1, in}, input}; }
};

std::string golden_path() {
  const char* const other = std::getenv("CUQAT_SEED_GOLDEN");
  return other != nullptr ? other : CUQAT_TEST_DATA_DIR "/seed_reference.safetensors";
}

/// The names of the file's layers of these bits that have inputs.
std::vector<std::string> prefixes(GoldenFile& file, const std::string& bits) {
  std::vector<std::string> result;
  const std::string end = "." + bits + ".in_out";
  for (const std::string& name : file.names()) {
    if (!name.starts_with("layer.") || !name.ends_with(end)) continue;
    if (file.i64(name).at(0) == 0) {
      EXPECT_THROW(QatLayer(0, file.i64(name).at(1)), InvalidArgument);
      continue;
    }
    result.push_back(name.substr(0, name.size() - std::string("in_out").size()));
  }
  EXPECT_GT(result.size(), 3u) << bits;
  return result;
}

/// Bits, not only values.
void expect_bits(const Numbers& found, const std::vector<double>& expected,
                 const std::string& what) {
  EXPECT_EQ(found.bytes, to_bytes(DType::kF64, expected)) << what;
}

TEST(OriginalLayers, HaveTheGoldenForwardTrain) {
  GoldenFile file(golden_path());
  for (const auto& [bits, format] : {std::pair("int8", Format::kInt8), {"int4", Format::kInt4}}) {
    for (const std::string& prefix : prefixes(file, bits)) {
      const GoldenLayer golden(file, prefix);
      for (const char* const backend : kBackends) {
        for (const int num_threads : {1, 2}) {
          QatLayer layer = golden.layer(format, QatProduct::kNumbers);
          const HostOptions options = on(backend, num_threads);
          const auto expected = file.f64(prefix + "forward_train");
          expect_bits(trained(layer, golden.x(), options), expected, prefix + backend);
          expect_bits(inferred(layer, golden.x(), options), expected, prefix + backend);
        }
      }
    }
  }
}

TEST(OriginalLayers, HaveTheGoldenForwardInfer) {
  GoldenFile file(golden_path());
  for (const std::string& prefix : prefixes(file, "int8")) {
    const GoldenLayer golden(file, prefix);
    for (const char* const backend : kBackends) {
      for (const int num_threads : {1, 2}) {
        QatLayer layer = golden.layer(Format::kInt8, QatProduct::kCodes);
        const HostOptions options = on(backend, num_threads);
        const auto expected = file.f64(prefix + "forward_infer");
        expect_bits(inferred(layer, golden.x(), options), expected, prefix + backend);
        expect_bits(trained(layer, golden.x(), options), expected, prefix + backend);
      }
    }
  }
}

/// Scales as the original has them before it is calibrated.
TEST(OriginalLayers, HaveTheGoldenForwardTrainBeforeCalibration) {
  GoldenFile file(golden_path());
  for (const auto& [bits, format] : {std::pair("int8", Format::kInt8), {"int4", Format::kInt4}}) {
    for (const std::string& prefix : prefixes(file, bits)) {
      GoldenLayer golden(file, prefix);
      golden.scales = {1.0 / 127.0, 1.0 / 127.0};
      golden.zero_points = {0, 0};
      for (const char* const backend : kBackends) {
        QatLayer layer = golden.layer(format, QatProduct::kNumbers);
        expect_bits(trained(layer, golden.x(), on(backend)),
                    file.f64(prefix + "forward_train_uncalibrated"), prefix + backend);
      }
    }
  }
}

TEST(OriginalLayers, ExportTheGoldenCodes) {
  GoldenFile file(golden_path());
  for (const std::string& prefix : prefixes(file, "int8")) {
    const GoldenLayer golden(file, prefix);
    QatLayer layer = golden.layer(Format::kInt8, QatProduct::kCodes);
    const QuantizedLayer quantized = layer.quantized();
    std::vector<std::int8_t> codes;
    for (const std::uint8_t code : quantized.weight.codes) {
      codes.push_back(static_cast<std::int8_t>(code));
    }
    EXPECT_EQ(codes, file.i8(prefix + "quantize_model_weights.codes")) << prefix;
    EXPECT_EQ(quantized.bias, golden.bias) << prefix;
  }
}

/// Layers that the file does not have: odd sizes, zero points that are no codes, codes that clip.
TEST(OriginalLayers, GiveTheOriginalsAnswersForRandomLayers) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const auto in = static_cast<std::int64_t>(1 + random() % 70);
    const auto out = static_cast<std::int64_t>(1 + random() % 20);
    const bool is_int4 = random() % 2 != 0;
    original::QatConfig config;
    config.bits = is_int4 ? original::QuantBits::kInt4 : original::QuantBits::kInt8;
    original::QatLayer original(static_cast<std::size_t>(in), static_cast<std::size_t>(out),
                                config);
    original.weights = normal_values(in * out, 0.3, seed + 100);
    original.bias = normal_values(out, 1.0, seed + 200);
    original.weight_scale = random.uniform(0.002, 0.02) * (is_int4 ? 8.0 : 1.0);
    original.activation_scale = random.uniform(0.002, 0.02) * (is_int4 ? 8.0 : 1.0);
    original.weight_zero_point = static_cast<std::int32_t>(random() % 9) - 4;
    original.activation_zero_point = static_cast<std::int32_t>(random() % 1001) - 500;
    const double mean = -original.activation_scale * original.activation_zero_point;
    const std::vector<double> input = normal_values(in, 1.0, seed + 300, mean);
    const Numbers x(DType::kF64, Shape{1, in}, input);
    const Format format = is_int4 ? Format::kInt4 : Format::kInt8;
    for (const QatProduct product : {QatProduct::kNumbers, QatProduct::kCodes}) {
      if (is_int4 && product == QatProduct::kCodes) continue;
      QatLayer layer(in, out, original_config(format, product));
      fill(layer.change_weight(), original.weights);
      fill(layer.change_bias(), original.bias);
      layer.set_weight_params(
          original_params(format, original.weight_scale, original.weight_zero_point));
      layer.set_activation_params(
          original_params(format, original.activation_scale, original.activation_zero_point));
      const std::vector<double> expected = product == QatProduct::kNumbers
                                               ? original.forward_train(input)
                                               : original.forward_infer(input);
      for (const char* const backend : kBackends) {
        expect_bits(trained(layer, x, on(backend)), expected, std::to_string(seed));
        expect_bits(inferred(layer, x, on(backend)), expected, std::to_string(seed));
      }
    }
  }
}

}  // namespace
}  // namespace cuqat::test
