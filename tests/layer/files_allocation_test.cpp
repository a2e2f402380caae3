// Out of memory at each allocation where layers are made, saved and loaded: nothing is left half
// done, and the next call is as if nothing had been.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_file.hpp"
#include "io/support.hpp"
#include "layer/deployed_support.hpp"
#include "layer/failing_allocations.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

using io::testing::ScratchFolder;
using Layers = std::map<std::string, QuantizedLayer>;

Layers some_layers() {
  QatLayerConfig int4;
  int4.weight.format = Format::kInt4;
  int4.activation.symmetric = false;
  return {{"first", some_layer({}, DType::kF32, 5, 3).quantized()},
          {"second", some_layer(int4, DType::kF32, 4, 6).quantized()}};
}

template <typename Call>
int times_thrown(const Call& failing_call) {
  int thrown = 0;
  for (std::int64_t n = 1; n < 100'000; ++n) {
    const Ending ending = failing_call(n);
    if (testing::Test::HasFailure() || ending == Ending::kUndisturbed) return thrown;
    thrown += ending == Ending::kThrew ? 1 : 0;
  }
  ADD_FAILURE() << "never undisturbed";
  return thrown;
}

TEST(OutOfMemoryInFiles, LeavesNoFileOrTheOneBefore) {
  const Layers layers = some_layers();
  const Layers one{{"one", layers.at("first")}};
  for (const bool is_there : {false, true}) {
    const int thrown = times_thrown([&](std::int64_t n) {
      const ScratchFolder folder;
      const std::string path = folder.file("layers");
      if (is_there) save_layers(path, one);
      const Ending ending = run_failing(n, [&] { save_layers(path, layers); });
      if (ending == Ending::kThrew) {
        EXPECT_EQ(folder.names(),
                  is_there ? std::vector<std::string>{"layers"} : std::vector<std::string>{});
        if (is_there) {
          expect_same(load_layers(path).at("one"), one.at("one"));
        }
      } else {
        EXPECT_EQ(load_layers(path).size(), 2u);
      }
      save_layers(path, layers);
      const Layers loaded = load_layers(path);
      for (const auto& [name, layer] : layers) expect_same(loaded.at(name), layer);
      return ending;
    });
    EXPECT_GT(thrown, 10);
  }
}

TEST(OutOfMemoryInFiles, ThrowsWhereOneIsLoaded) {
  const ScratchFolder folder;
  const Layers layers = some_layers();
  save_layers(folder.file("layers"), layers);
  const int thrown = times_thrown([&](std::int64_t n) {
    Layers loaded;
    const Ending ending = run_failing(n, [&] { loaded = load_layers(folder.file("layers")); });
    if (ending == Ending::kThrew) {
      EXPECT_TRUE(loaded.empty());
    } else {
      EXPECT_EQ(loaded.size(), 2u);
    }
    return ending;
  });
  EXPECT_GT(thrown, 10);
}

TEST(OutOfMemoryInNewLayers, Throws) {
  const QuantizedLayer deployed = some_layers().at("second");
  QatLayerConfig config;
  config.weight.format = Format::kInt4;
  config.activation.symmetric = false;
  const Numbers x = some_input(DType::kF32, 3, 4);
  QatLayer undisturbed = QatLayer::of_quantized(deployed, config);
  const Bytes expected = inferred(undisturbed, x).bytes;
  EXPECT_GT(times_thrown([&](std::int64_t n) {
              std::optional<QatLayer> layer;
              const Ending ending = run_failing(n, [&] { layer.emplace(4, 6, config, 3); });
              EXPECT_EQ(layer.has_value(), ending != Ending::kThrew);
              return ending;
            }),
            0);
  EXPECT_GT(times_thrown([&](std::int64_t n) {
              std::optional<QatLayer> layer;
              const Ending ending =
                  run_failing(n, [&] { layer = QatLayer::of_quantized(deployed, config); });
              EXPECT_EQ(layer.has_value(), ending != Ending::kThrew);
              if (layer) {
                EXPECT_EQ(inferred(*layer, x).bytes, expected);
              }
              return ending;
            }),
            0);
}

/// A copy that fails leaves the layer that it was to replace.
TEST(OutOfMemoryInCopies, LeavesTheSource) {
  QatLayer layer = some_layer({}, DType::kF32, 5, 3);
  const Numbers x = some_input(DType::kF32, 3, 5);
  const Bytes expected = inferred(layer, x).bytes;
  EXPECT_GT(times_thrown([&](std::int64_t n) {
              std::optional<QatLayer> copy;
              const Ending ending = run_failing(n, [&] { copy = layer; });
              EXPECT_EQ(inferred(layer, x).bytes, expected);
              return ending;
            }),
            0);
}

}  // namespace
}  // namespace cuqat::test
