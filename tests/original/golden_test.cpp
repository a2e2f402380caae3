// Every array of a file that the original system wrote, reproduced to the last bit. The file names
// its own cases: another one of the same form can be given in CUQAT_SEED_GOLDEN.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "cuqat/original.hpp"
#include "support/golden_file.hpp"

namespace cuqat::original {
namespace {

using test::GoldenFile;

template <typename T>
bool same(T actual, T expected) {
  return actual == expected;
}
bool same(double actual, double expected) {
  if (std::isnan(actual) || std::isnan(expected)) return std::isnan(actual) == std::isnan(expected);
  return std::bit_cast<std::uint64_t>(actual) == std::bit_cast<std::uint64_t>(expected);
}

std::vector<double> read(GoldenFile& file, const std::string& name, double) {
  return file.f64(name);
}
std::vector<std::int64_t> read(GoldenFile& file, const std::string& name, std::int64_t) {
  return file.i64(name);
}
std::vector<std::int8_t> read(GoldenFile& file, const std::string& name, std::int8_t) {
  return file.i8(name);
}

template <typename T>
void expect_array(GoldenFile& file, const std::string& name, const std::vector<T>& actual) {
  const std::vector<T> expected = read(file, name, T{});
  ASSERT_EQ(actual.size(), expected.size()) << name;
  std::size_t num_different = 0;
  std::size_t first = 0;
  for (std::size_t i = actual.size(); i-- > 0;) {
    if (same(actual[i], expected[i])) continue;
    first = i;
    ++num_different;
  }
  EXPECT_EQ(num_different, 0u) << name << "[" << first << "] is " << std::hexfloat << +actual[first]
                               << ", should be " << +expected[first];
}

/// Scales and zero points, collected in the order of the file's arrays.
struct Answers {
  std::vector<double> scales;
  std::vector<std::int64_t> zero_points;
  void add(double scale, std::int32_t zero_point) {
    scales.push_back(scale);
    zero_points.push_back(zero_point);
  }
  void add(ScaleZeroPoint answer) { add(answer.scale, answer.zero_point); }
};

void check_quantizers(GoldenFile& file) {
  const auto x = file.f64("scalar.x");
  const auto scale = file.f64("scalar.scale");
  const auto zero_point = file.i64("scalar.zero_point");
  ASSERT_EQ(scale.size(), x.size());
  ASSERT_EQ(zero_point.size(), x.size());
  std::vector<double> int8(x.size());
  std::vector<double> int4(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto zero = static_cast<std::int32_t>(zero_point[i]);
    ASSERT_EQ(zero, zero_point[i]);
    int8[i] = quantize_int8(x[i], scale[i], zero);
    int4[i] = quantize_int4(x[i], scale[i], zero);
  }
  expect_array(file, "scalar.quantize_int8", int8);
  expect_array(file, "scalar.quantize_int4", int4);

  std::vector<double> fp8 = file.f64("fp8.x");
  std::transform(fp8.begin(), fp8.end(), fp8.begin(), quantize_fp8);
  expect_array(file, "fp8.quantize_fp8", fp8);
}

/// The middle of a name between the two ends, where it has both.
std::optional<std::string> between(std::string_view name, std::string_view prefix,
                                   std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size()) return std::nullopt;
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  return std::string(name);
}

/// The calibration set that an array belongs to.
std::optional<std::string> set_of(std::string_view name) {
  const std::size_t number = name.find_last_not_of("0123456789") + 1;
  if (number < name.size() && name.substr(0, number).ends_with(".batch")) {
    return between(name, "calibration.", name.substr(number - std::string_view(".batch").size()));
  }
  for (const char* field : {".min_max", ".n_elements_n_samples", ".histogram",
                            ".scales_minmax_kl_percentiles", ".zero_points_minmax_kl_percentiles",
                            ".calibrate_layer.scales", ".calibrate_layer.zero_points"}) {
    if (const auto set = between(name, "calibration.", field)) return set;
  }
  return std::nullopt;
}

/// In the order of their first appearance, which is the order of calibrate_model's layers.
std::vector<std::string> calibration_sets(const GoldenFile& file) {
  std::vector<std::string> sets;
  for (const std::string& name : file.names()) {
    const auto set = set_of(name);
    if (set && std::find(sets.begin(), sets.end(), *set) == sets.end()) sets.push_back(*set);
  }
  return sets;
}

CalibrationDataset calibration_set(GoldenFile& file, const std::string& set) {
  CalibrationDataset dataset;
  for (int k = 0;; ++k) {
    const std::string name = "calibration." + set + ".batch" + std::to_string(k);
    if (!file.contains(name)) return dataset;
    dataset.push(file.f64(name));
  }
}

void check_calibration(GoldenFile& file, const std::string& set,
                       const std::vector<double>& percentiles) {
  const CalibrationDataset dataset = calibration_set(file, set);
  CalibrationCollector collector;
  for (const auto& batch : dataset.data) collector.observe(batch);

  const std::string prefix = "calibration." + set + ".";
  expect_array<double>(file, prefix + "min_max", {collector.min_val(), collector.max_val()});
  expect_array<std::int64_t>(file, prefix + "n_elements_n_samples",
                             {static_cast<std::int64_t>(collector.n_elements()),
                              static_cast<std::int64_t>(collector.n_samples())});
  const auto histogram = collector.histogram();
  expect_array<double>(file, prefix + "histogram", {histogram.begin(), histogram.end()});

  Answers methods;
  methods.add(collector.min_max_scale());
  methods.add(collector.kl_divergence_scale());
  for (const double p : percentiles) methods.add(collector.percentile_scale(p));
  expect_array(file, prefix + "scales_minmax_kl_percentiles", methods.scales);
  expect_array(file, prefix + "zero_points_minmax_kl_percentiles", methods.zero_points);

  Answers layer;
  for (const auto method : {CalibMethod::kMinMax, CalibMethod::kPercentile, CalibMethod::kKl}) {
    layer.add(calibrate_layer(dataset.data, method));
  }
  expect_array(file, prefix + "calibrate_layer.scales", layer.scales);
  expect_array(file, prefix + "calibrate_layer.zero_points", layer.zero_points);
}

void check_calibrate_model(GoldenFile& file, const std::vector<std::string>& sets) {
  std::vector<LayerActivations> layers;
  for (const std::string& set : sets) layers.push_back({set, calibration_set(file, set).data});
  const std::vector<QuantizationSpec> specs = calibrate_model(layers);
  ASSERT_EQ(specs.size(), sets.size());
  Answers answers;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    EXPECT_EQ(specs[i].layer_name, sets[i]);
    EXPECT_EQ(specs[i].method, CalibMethod::kKl);
    answers.add(specs[i].scale, specs[i].zero_point);
  }
  expect_array(file, "calibrate_model.scales", answers.scales);
  expect_array(file, "calibrate_model.zero_points", answers.zero_points);
}

QuantBits bits_of(std::string_view layer) {
  if (layer.ends_with(".int4")) return QuantBits::kInt4;
  if (layer.ends_with(".int8")) return QuantBits::kInt8;
  if (layer.ends_with(".fp8")) return QuantBits::kFp8;
  throw std::runtime_error("no format in the layer's name " + std::string(layer));
}

void check_layer(GoldenFile& file, const std::string& name) {
  const std::string prefix = "layer." + name + ".";
  const auto in_out = file.i64(prefix + "in_out");
  ASSERT_EQ(in_out.size(), 2u) << name;
  QatConfig config;
  config.bits = bits_of(name);
  QatLayer layer(static_cast<std::size_t>(in_out[0]), static_cast<std::size_t>(in_out[1]), config);
  expect_array(file, prefix + "init_weights", layer.weights);

  layer.weights = file.f64(prefix + "weights");
  layer.bias = file.f64(prefix + "bias");
  const auto input = file.f64(prefix + "input");
  expect_array(file, prefix + "forward_train_uncalibrated", layer.forward_train(input));

  layer.calibrate_from_data(file.f64(prefix + "calibration"));
  expect_array<double>(file, prefix + "scales_weight_activation",
                       {layer.weight_scale, layer.activation_scale});
  expect_array<std::int64_t>(file, prefix + "zero_points_weight_activation",
                             {layer.weight_zero_point, layer.activation_zero_point});
  expect_array(file, prefix + "forward_train", layer.forward_train(input));
  expect_array(file, prefix + "forward_infer", layer.forward_infer(input));

  const QuantizedWeights quantized = quantize_model_weights(layer.weights, config);
  expect_array(file, prefix + "quantize_model_weights.codes", quantized.codes);
  expect_array<double>(file, prefix + "quantize_model_weights.scale", {quantized.scale});
  expect_array<std::int64_t>(file, prefix + "quantize_model_weights.zero_point",
                             {quantized.zero_point});
  expect_array(file, prefix + "dequantize_weights",
               dequantize_weights(quantized.codes, quantized.scale, quantized.zero_point));
}

TEST(OriginalGolden, ReproducesEveryArrayOfTheFile) {
  const char* other_file = std::getenv("CUQAT_SEED_GOLDEN");
  const std::string path =
      other_file != nullptr ? other_file : CUQAT_TEST_DATA_DIR "/seed_reference.safetensors";
  SCOPED_TRACE(path);
  GoldenFile file(path);

  check_quantizers(file);

  const std::vector<std::string> sets = calibration_sets(file);
  EXPECT_FALSE(sets.empty());
  const auto percentiles = file.f64("calibration.percentiles");
  for (const std::string& set : sets) check_calibration(file, set, percentiles);
  check_calibrate_model(file, sets);

  int num_layers = 0;
  for (const std::string& name : file.names()) {
    const auto layer = between(name, "layer.", ".in_out");
    if (!layer) continue;
    check_layer(file, *layer);
    ++num_layers;
  }
  EXPECT_GT(num_layers, 0);

  EXPECT_EQ(file.unread(), std::vector<std::string>{});
}

}  // namespace
}  // namespace cuqat::original
