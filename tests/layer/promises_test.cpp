// Promises of the headers that are easily broken.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_file.hpp"
#include "host/expect_invalid.hpp"
#include "io/support.hpp"
#include "layer/deployed_support.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

using io::testing::ScratchFolder;

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kIn = 19;
constexpr std::int64_t kOut = 7;

/// save_layers refuses int4 codes of a byte each, or load_layers takes the file.
TEST(LayerKeepsItsPromises, Int4LayersOfABytePerCodeAreRefusedOrComeBack) {
  const ScratchFolder folder;
  QatLayerConfig config;
  config.weight.format = Format::kInt4;
  QuantizedLayer layer = some_layer(config, DType::kF32, 3, 2).quantized();
  layer.weight.layout = CodeLayout::kBytes;
  layer.weight.codes = {1, 2, 3, 0xff, 0xfe, 0};
  try {
    save_layers(folder.file("a"), {{"a", layer}});
  } catch (const InvalidArgument&) {
    return;
  }
  EXPECT_NO_THROW(load_layers(folder.file("a")));
}

/// Not as fewer layers ("x.weight.format"), nor as a layer without its zero points.
TEST(LayerKeepsItsPromises, FilesWithADamagedNameAreRefused) {
  const ScratchFolder folder;
  QatLayerConfig config;
  config.weight.symmetric = config.activation.symmetric = false;
  save_layers(folder.file("good"), {{"x", some_layer(config, DType::kF32, 3, 2).quantized()}});
  const std::string good = io::testing::text_of(io::testing::read_file(folder.file("good")));
  std::size_t num_names = 0;
  for (std::size_t at = good.find("\"x."); at != std::string::npos;
       at = good.find("\"x.", at + 1)) {
    std::string damaged = good;
    damaged[at + 3] = 'q';
    std::filesystem::remove(folder.file("damaged"));
    io::testing::write_file(folder.file("damaged"), damaged);
    EXPECT_THROW(load_layers(folder.file("damaged")), DataError)
        << good.substr(at, good.find('"', at + 1) - at + 1);
    ++num_names;
  }
  EXPECT_GT(num_names, 6u);
}

/// One that the header of the file calls [3, 2] and the metadata [2, 3].
TEST(LayerKeepsItsPromises, WeightsOfAnotherShapeThanTheMetadataSayAreRefused) {
  const ScratchFolder folder;
  save_layers(folder.file("a"), {{"x", some_layer({}, DType::kF32, 3, 2).quantized()}});
  std::string text = io::testing::text_of(io::testing::read_file(folder.file("a")));
  const std::string shape = "\"I8\",\"shape\":[2,3]";
  const std::size_t at = text.find(shape);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, shape.size(), "\"I8\",\"shape\":[3,2]");
  io::testing::write_file(folder.file("b"), text);
  EXPECT_THROW(load_layers(folder.file("b")), DataError);
}

/// "After an exception it holds nothing."
TEST(LayerKeepsItsPromises, ASavedOfARefusedPassHoldsNothing) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  Numbers narrow(DType::kF32, Shape{kRows, kOut - 1});
  EXPECT_THROW(layer.forward_train(x.view(), narrow.writable(), saved), InvalidArgument);
  Gradients found(layer, x);
  expect_invalid([&] { layer.backward(dy.view(), saved, found.views()); }, {"saved"});
}

/// "Of no forward pass of this layer."
TEST(LayerKeepsItsPromises, ASavedOfAnotherLayerIsRefused) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut, 1);
  QatLayer other = some_layer({}, DType::kF32, kIn, kOut, 9);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  QatLayer::Saved saved;
  trained(other, x, saved);
  Gradients found(layer, x);
  expect_invalid([&] { layer.backward(dy.view(), saved, found.views()); }, {"saved"});
}

/// The weights are an input of backward.
TEST(LayerKeepsItsPromises, GradientsAreNotWrittenIntoTheWeights) {
  QatLayerConfig config;
  config.learn_weight_scale = true;
  QatLayer layer = some_layer(config, DType::kF32, kIn, kOut);
  const TensorView own = layer.change_weight();
  const Bytes weight = bytes_of_view(layer.weight());
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  QatGradients gradients;
  gradients.dweight = own;
  expect_invalid([&] { layer.backward(dy.view(), saved, gradients); }, {"dweight", "weight"});
  EXPECT_EQ(bytes_of_view(layer.weight()), weight);
}

TEST(LayerKeepsItsPromises, OutputsAreNotWrittenIntoTheParameters) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, 2, kIn);
  const TensorView y(layer.change_weight().data(), DType::kF32, Shape{2, kOut});
  const Bytes weight = bytes_of_view(layer.weight());
  expect_invalid([&] { layer.forward_infer(x.view(), y); }, {"y", "weights"});
  EXPECT_EQ(bytes_of_view(layer.weight()), weight);
  const TensorView short_y(layer.change_bias().data(), DType::kF32, Shape{1, kOut});
  const Numbers row = some_input(DType::kF32, 1, kIn);
  expect_invalid([&] { layer.forward_infer(row.view(), short_y); }, {"y", "bias"});
}

TEST(LayerKeepsItsPromises, AGradientOfNoRowsIsNotOneOfSome) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  Gradients found(layer, x);
  for (const Shape& shape : {Shape{0, 99}, Shape{0, kOut}}) {
    const ConstTensorView nothing(nullptr, DType::kF32, shape);
    expect_invalid([&] { layer.backward(nothing, saved, found.views()); }, {"dy.shape()"});
  }
}

TEST(LayerKeepsItsPromises, SymmetricCodesHaveNoZeroPoint) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  QuantParams params = layer.activation_params();
  params.zero_point = {5};
  expect_invalid([&] { layer.set_activation_params(params); }, {"params.zero_point", "5"});
}

TEST(LayerKeepsItsPromises, ASavedThatWasMovedFromHoldsNothing) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  QatLayer::Saved other = std::move(saved);
  Gradients found(layer, x);
  expect_invalid([&] { layer.backward(dy.view(), saved, found.views()); }, {"saved"});
  layer.backward(dy.view(), other, found.views());
}

/// A copy has the parameters that a Saved is of, and perhaps no codes of them yet.
TEST(LayerKeepsItsPromises, ACopyTakesTheSavedOfItsParameters) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  static_cast<void>(layer.change_weight());
  QatLayer copy = layer;
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  Gradients expected(layer, x);
  layer.backward(dy.view(), saved, expected.views());
  Gradients found(copy, x);
  copy.backward(dy.view(), saved, found.views());
  EXPECT_EQ(bytes_of_view(found.views().dweight), bytes_of_view(expected.views().dweight));
}

/// As weights that are not finite are.
TEST(LayerKeepsItsPromises, WeightsOfANaNCodeAreRefused) {
  QatLayerConfig config;
  config.weight.format = config.activation.format = Format::kE4M3;
  QuantizedLayer quantized = some_layer(config, DType::kF32, kIn, kOut).quantized();
  quantized.weight.codes[0] = 0x7f;
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const auto infer = [&] {
    QatLayer layer = QatLayer::of_quantized(quantized, config);
    inferred(layer, x);
  };
  EXPECT_THROW(infer(), InvalidArgument);
}

/// "They are kept as numbers of the dtype of the weights."
TEST(LayerKeepsItsPromises, ScalesOfTheCallersComeBackAsTheLayerHasThem) {
  const ScratchFolder folder;
  QatLayer layer = some_layer({}, DType::kF32, 3, 2);
  QuantParams own = layer.activation_params();
  own.scale = {0.1};
  layer.set_activation_params(own);
  const QuantizedLayer quantized = layer.quantized();
  save_layers(folder.file("a"), {{"a", quantized}});
  expect_same(load_layers(folder.file("a")).at("a"), quantized);
}

/// "The message names the argument, its value and the limit."
TEST(LayerKeepsItsPromises, MessagesNameTheArgument) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers wide(DType::kF32, Shape{2, kIn + 1});
  const ConstTensorView batches[] = {wide.view()};
  expect_invalid([&] { layer.calibrate_from_data(batches); }, {"batches[0]"});
  QuantParams params = layer.weight_params();
  params.quantizer.format = Format::kInt4;
  expect_invalid([&] { layer.set_weight_params(params); }, {"int4", "int8"});
  QatLayerConfig config;
  config.weight.method = CalibMethod::kPercentile;
  config.weight.percentile = 101.0;
  expect_invalid([&] { QatLayer(kIn, kOut, config); }, {"weight.percentile", "101"});
  config = {};
  config.activation.format = config.weight.format = Format::kE4M3;
  config.activation.symmetric = false;
  expect_invalid([&] { QatLayer(kIn, kOut, config); }, {"activation.symmetric"});
}

}  // namespace
}  // namespace cuqat::test
