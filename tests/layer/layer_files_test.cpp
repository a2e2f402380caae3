// Layers in files: they come back bit for bit, the tensors have the names and types that the header
// says (as a reader that shares no code finds them), and what does not fit is refused.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_file.hpp"
#include "io/support.hpp"
#include "layer/deployed_support.hpp"
#include "layer/layer_support.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

using io::testing::ScratchFolder;
using Layers = std::map<std::string, QuantizedLayer>;

constexpr std::int64_t kIn = 13;
constexpr std::int64_t kOut = 5;

QuantizedLayer some_deployed(const LayerCase& of, std::uint64_t seed = 1) {
  return some_layer(of.config, of.dtype, kIn, kOut, seed).quantized();
}

LayerCase plain_case() {
  return layer_case(options_of(Format::kInt8, false), Granularity::channel(0),
                    options_of(Format::kInt8, false), QatProduct::kCodes, DType::kF32);
}

class LayerFiles : public testing::TestWithParam<LayerCase> {};

TEST_P(LayerFiles, GiveTheLayerBackBitForBit) {
  const auto& [name, config, dtype] = GetParam();
  const ScratchFolder folder;
  QatLayer layer = some_layer(config, dtype, kIn, kOut);
  const Layers saved{{"encoder.0.dense", layer.quantized()}};
  save_layers(folder.file("layers.safetensors"), saved);
  const Layers loaded = load_layers(folder.file("layers.safetensors"));
  ASSERT_EQ(loaded.size(), 1u);
  expect_same(loaded.at("encoder.0.dense"), saved.at("encoder.0.dense"));
  QatLayer again = QatLayer::of_quantized(loaded.at("encoder.0.dense"), config);
  const Numbers x = some_input(dtype, 6, kIn);
  EXPECT_EQ(inferred(again, x).bytes, inferred(layer, x).bytes);
  // The same layers are the same bytes.
  save_layers(folder.file("again.safetensors"), loaded);
  EXPECT_EQ(io::testing::read_file(folder.file("again.safetensors")),
            io::testing::read_file(folder.file("layers.safetensors")));
}

TEST_P(LayerFiles, NameTheirTensorsAsTheHeaderSays) {
  const auto& [name, config, dtype] = GetParam();
  const ScratchFolder folder;
  const QuantizedLayer layer = some_deployed(GetParam());
  save_layers(folder.file("one.safetensors"), {{"X", layer}});
  GoldenFile file(folder.file("one.safetensors"));
  const std::string of_numbers = config.weight_dtype == DType::kF64 ? "F64" : "F32";
  const auto expect_array = [&](const std::string& tensor, const std::string& type,
                                const std::vector<double>& values) {
    ASSERT_TRUE(file.contains(tensor)) << tensor;
    const GoldenArray& array = file.array(tensor);
    EXPECT_EQ(array.dtype, type) << tensor;
    EXPECT_EQ(to_doubles(type == "F64" ? DType::kF64 : DType::kF32, array.bytes), values) << tensor;
  };
  const auto expect_zero_points = [&](const std::string& tensor,
                                      const std::vector<std::int32_t>& values) {
    ASSERT_EQ(file.contains(tensor), !values.empty()) << tensor;
    if (values.empty()) return;
    const GoldenArray& array = file.array(tensor);
    EXPECT_EQ(array.dtype, "I32");
    ASSERT_EQ(array.bytes.size(), values.size() * 4);
    EXPECT_EQ(std::memcmp(array.bytes.data(), values.data(), array.bytes.size()), 0);
  };
  expect_array("X.weight_scale", of_numbers, layer.weight.params.scale);
  expect_array("X.input_scale", of_numbers, layer.activation.scale);
  expect_array("X.bias", of_numbers, layer.bias);
  expect_zero_points("X.weight_zero_point", layer.weight.params.zero_point);
  expect_zero_points("X.input_zero_point", layer.activation.zero_point);
  const GoldenArray& weight = file.array("X.weight");
  const std::map<Format, std::string> types{{Format::kInt8, "I8"},
                                            {Format::kInt4, "U8"},
                                            {Format::kE4M3, "F8_E4M3"},
                                            {Format::kE5M2, "F8_E5M2"}};
  EXPECT_EQ(weight.dtype, types.at(config.weight.format));
  if (config.weight.format != Format::kInt4) {
    EXPECT_EQ(weight.shape, (std::vector<std::int64_t>{kOut, kIn}));
  }
  ASSERT_EQ(weight.bytes.size(), layer.weight.codes.size());
  EXPECT_EQ(std::memcmp(weight.bytes.data(), layer.weight.codes.data(), weight.bytes.size()), 0);
  EXPECT_EQ(file.unread(), std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Every, LayerFiles, testing::ValuesIn(deployed_cases()), case_name);

TEST(SavedLayers, AreAllInTheFile) {
  const ScratchFolder folder;
  Layers layers;
  std::uint64_t seed = 1;
  for (const LayerCase& of : deployed_cases()) {
    if (seed % 7 == 0) layers[of.name + ".weight"] = some_deployed(of, seed);
    layers[of.name] = some_deployed(of, seed++);
  }
  layers["a.b.c"] = layers.begin()->second;
  layers["a.b"] = layers.rbegin()->second;
  layers["with \"quotes\", \\ and \n"] = layers.begin()->second;
  layers["\xc3\xa9t\xc3\xa9"] = layers.begin()->second;
  save_layers(folder.file("all.safetensors"), layers);
  const Layers loaded = load_layers(folder.file("all.safetensors"));
  ASSERT_EQ(loaded.size(), layers.size());
  for (const auto& [name, layer] : layers) {
    ASSERT_TRUE(loaded.contains(name)) << name;
    expect_same(loaded.at(name), layer);
  }
}

TEST(SavedLayers, MayBeNone) {
  const ScratchFolder folder;
  save_layers(folder.file("none.safetensors"), {});
  EXPECT_TRUE(load_layers(folder.file("none.safetensors")).empty());
}

TEST(SavedLayers, WhosePartsDoNotFitTogetherAreRefused) {
  const ScratchFolder folder;
  const std::string path = folder.file("layers.safetensors");
  const QuantizedLayer good = some_deployed(plain_case());
  save_layers(path, {{"good", good}});
  const io::testing::Bytes before = io::testing::read_file(path);
  const auto refuse = [&](const auto& damage) {
    QuantizedLayer bad = good;
    damage(bad);
    EXPECT_THROW(save_layers(path, {{"good", good}, {"bad", bad}}), InvalidArgument);
    EXPECT_EQ(io::testing::read_file(path), before);
    EXPECT_EQ(folder.names(), std::vector<std::string>{"layers.safetensors"});
  };
  refuse([](QuantizedLayer& layer) { layer.weight.codes.pop_back(); });
  refuse([](QuantizedLayer& layer) { layer.weight.codes.push_back(0); });
  refuse([](QuantizedLayer& layer) { layer.bias.pop_back(); });
  refuse([](QuantizedLayer& layer) { layer.weight.params.scale.pop_back(); });
  refuse([](QuantizedLayer& layer) { layer.weight.params.scale[0] = 0.0; });
  refuse([](QuantizedLayer& layer) { layer.weight.params.zero_point.pop_back(); });
  refuse([](QuantizedLayer& layer) { layer.weight.params.zero_point[0] = 1000; });
  refuse([](QuantizedLayer& layer) { layer.weight.shape = Shape{kOut * kIn}; });
  refuse([](QuantizedLayer& layer) { layer.weight.layout = CodeLayout::kNibbles; });
  refuse([](QuantizedLayer& layer) { layer.activation.scale.clear(); });
  refuse([](QuantizedLayer& layer) { layer.activation.scale[0] = -1.0; });
  refuse([](QuantizedLayer& layer) { layer.activation.granularity = Granularity::channel(0); });
  refuse([](QuantizedLayer& layer) { layer.weight.dtype = DType::kBF16; });
}

TEST(SavedLayers, ThatCannotBeWrittenAreADataError) {
  const ScratchFolder folder;
  const Layers layers{{"a", some_deployed(plain_case())}};
  EXPECT_THROW(save_layers(folder.file("no/such/folder.safetensors"), layers), DataError);
  EXPECT_THROW(save_layers(folder.path().string(), layers), DataError);
  EXPECT_TRUE(folder.names().empty());
}

/// The values that they quantize to, where scales are not numbers of f32.
TEST(SavedLayers, InferTheSameBitsWithScalesOfTheCallers) {
  const ScratchFolder folder;
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    LayerCase of = plain_case();
    of.config.weight_dtype = dtype;
    QatLayer layer = some_layer(of.config, dtype, kIn, kOut);
    QuantParams own = layer.weight_params();
    for (double& scale : own.scale) scale = 0.1 / 37.0;
    layer.set_weight_params(own);
    own = layer.activation_params();
    own.scale[0] = 0.1;
    layer.set_activation_params(own);
    const Numbers x = some_input(dtype, 4, kIn);
    const Bytes expected = inferred(layer, x).bytes;
    save_layers(folder.file("a"), {{"a", layer.quantized()}});
    QatLayer again = QatLayer::of_quantized(load_layers(folder.file("a")).at("a"), of.config);
    EXPECT_EQ(inferred(again, x).bytes, expected);
  }
}

}  // namespace
}  // namespace cuqat::test
