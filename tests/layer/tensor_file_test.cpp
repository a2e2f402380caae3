// Tensors of safetensors files through the public reader, and files that are damaged: each byte
// changed, each length cut.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_file.hpp"
#include "io/support.hpp"
#include "layer/deployed_support.hpp"
#include "layer/layer_support.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

using io::testing::ScratchFolder;
using Layers = std::map<std::string, QuantizedLayer>;

/// A file of this header and data, in a scratch folder.
std::string write(const ScratchFolder& folder, const std::string& header, const std::string& data) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(header.size() >> (8 * i) & 0xff);
  const std::string path = folder.file("file.safetensors");
  io::testing::write_file(path, text + header + data);
  return path;
}

const std::string kHeader =
    R"({"__metadata__":{"made":"by hand"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
    R"("h":{"dtype":"F16","shape":[1],"data_offsets":[30,32]},)"
    R"("d":{"dtype":"F64","shape":[],"data_offsets":[32,40]},)"
    R"("none":{"dtype":"F32","shape":[0,4],"data_offsets":[40,40]},)"
    R"("codes":{"dtype":"I8","shape":[4],"data_offsets":[40,44]},)"
    R"("fp8":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[44,46]},)"
    R"("deep":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[46,50]}})";

std::string data_of(std::initializer_list<Bytes> parts) {
  std::string data;
  for (const Bytes& part : parts) data += io::testing::text_of(part);
  return data;
}

std::string some_data() {
  return data_of({to_bytes(DType::kF32, std::vector{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}),
                  to_bytes(DType::kBF16, std::vector{0.5, -1.0, 2.0}),
                  to_bytes(DType::kF16, std::vector{-0.25}),
                  to_bytes(DType::kF64, std::vector{0.1}), Bytes(4, std::byte{0xff}),
                  Bytes(2, std::byte{0x38}), to_bytes(DType::kF32, std::vector{9.0})});
}

TEST(TensorFile, GivesNamesTensorsAndStoredBytes) {
  // Headers of four lengths: tensors at any address.
  for (std::size_t spaces = 0; spaces < 4; ++spaces) {
    const ScratchFolder folder;
    TensorFile file(write(folder, kHeader + std::string(spaces, ' '), some_data()));
    EXPECT_EQ(file.names(),
              (std::vector<std::string>{"b", "a", "h", "d", "none", "codes", "fp8", "deep"}));
    EXPECT_EQ(file.tensor("b").dtype(), DType::kF32);
    EXPECT_EQ(file.tensor("b").shape(), (Shape{2, 3}));
    EXPECT_EQ(values_of(file.tensor("b")), (std::vector{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}));
    EXPECT_EQ(values_of(file.tensor("a")), (std::vector{0.5, -1.0, 2.0}));
    EXPECT_EQ(values_of(file.tensor("h")), std::vector{-0.25});
    EXPECT_EQ(values_of(file.tensor("d")), std::vector{0.1});
    EXPECT_EQ(file.tensor("d").shape(), Shape());
    EXPECT_EQ(file.tensor("none").shape(), (Shape{0, 4}));
    const StoredTensor codes = file.stored("codes");
    EXPECT_EQ(codes.dtype, "I8");
    EXPECT_EQ(codes.shape, std::vector<std::int64_t>{4});
    EXPECT_EQ(Bytes(codes.bytes.begin(), codes.bytes.end()), Bytes(4, std::byte{0xff}));
    EXPECT_EQ(file.stored("fp8").dtype, "F8_E4M3");
    EXPECT_EQ(file.stored("deep").shape, std::vector<std::int64_t>(9, 1));
    EXPECT_EQ(file.stored("b").dtype, "F32");
    EXPECT_EQ(file.stored("b").bytes.size(), 24u);
    EXPECT_TRUE(file.stored("none").bytes.empty());
    for (const char* const name : {"codes", "fp8", "deep", "absent", "", "__metadata__"}) {
      EXPECT_THROW(static_cast<void>(file.tensor(name)), DataError) << name;
    }
    EXPECT_THROW(static_cast<void>(file.stored("absent")), DataError);
    TensorFile moved = std::move(file);
    EXPECT_EQ(values_of(moved.tensor("a")), (std::vector{0.5, -1.0, 2.0}));
    // The views are of the file, wherever the object that holds it is.
    const ConstTensorView view = moved.tensor("b");
    const TensorFile last = std::move(moved);
    EXPECT_EQ(view.data(), last.tensor("b").data());
  }
}

TEST(TensorFile, ThatIsNoneIsADataError) {
  const ScratchFolder folder;
  EXPECT_THROW(TensorFile(folder.file("absent")), DataError);
  EXPECT_THROW(TensorFile(folder.path().string()), DataError);
  EXPECT_THROW(TensorFile(""), DataError);
  io::testing::write_file(folder.file("empty"), "");
  EXPECT_THROW(TensorFile(folder.file("empty")), DataError);
  EXPECT_THROW(load_layers(folder.file("empty")), DataError);
  EXPECT_THROW(load_layers(folder.file("absent")), DataError);
  const std::vector<std::pair<std::string, std::string>> bad{
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "1234"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", ""},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "12345678"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       "123456"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345"},
      {R"([])", ""},
      {R"({"a":1})", ""},
      {"", ""},
      {"{", ""}};
  for (const auto& [header, data] : bad) {
    EXPECT_THROW(TensorFile(write(folder, header, data)), DataError) << header;
    EXPECT_THROW(load_layers(write(folder, header, data)), DataError) << header;
  }
}

/// A safetensors file of other tensors is none of save_layers.
TEST(LayersOfAFile, ThatSaveLayersDidNotWriteAreADataError) {
  const ScratchFolder folder;
  EXPECT_THROW(load_layers(write(folder, kHeader, some_data())), DataError);
}

std::vector<LayerCase> small_cases() {
  return {layer_case(options_of(Format::kInt8, false), Granularity::channel(0),
                     options_of(Format::kInt8, false), QatProduct::kCodes, DType::kF32),
          layer_case(options_of(Format::kInt4), Granularity::group(2), options_of(Format::kE4M3),
                     QatProduct::kNumbers, DType::kF64)};
}

/// Expects a DataError, or layers whose parts fit together: they can be saved, and come back.
void expect_error_or_layers(const ScratchFolder& folder, const std::string& text,
                            const std::string& what) {
  const std::string path = folder.file("damaged");
  // The library maps files: a new one each time, not the same one changed.
  std::filesystem::remove(path);
  io::testing::write_file(path, text);
  try {
    const Layers layers = load_layers(path);
    save_layers(folder.file("again"), layers);
    const Layers again = load_layers(folder.file("again"));
    ASSERT_EQ(again.size(), layers.size()) << what;
    for (const auto& [name, layer] : layers) {
      ASSERT_TRUE(again.contains(name)) << what;
      expect_same(again.at(name), layer);
    }
  } catch (const DataError&) {
  } catch (const std::exception& error) {
    FAIL() << what << ": " << error.what();
  }
}

TEST(DamagedLayers, AreADataErrorOrALayerForEveryChangedByte) {
  for (const LayerCase& of : small_cases()) {
    const ScratchFolder folder;
    save_layers(folder.file("good"), {{"x", some_layer(of.config, of.dtype, 3, 2).quantized()}});
    const std::string good = io::testing::text_of(io::testing::read_file(folder.file("good")));
    for (std::size_t i = 0; i < good.size(); i += kSanitized ? 5 : 1) {
      for (const int change : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
        std::string damaged = good;
        damaged[i] = static_cast<char>(damaged[i] ^ change);
        expect_error_or_layers(folder, damaged, std::to_string(i) + " ^ " + std::to_string(change));
        ASSERT_FALSE(HasFailure()) << damaged;
      }
    }
  }
}

TEST(DamagedLayers, AreADataErrorAtEveryLengthButTheirOwn) {
  for (const LayerCase& of : small_cases()) {
    const ScratchFolder folder;
    save_layers(folder.file("good"), {{"x", some_layer(of.config, of.dtype, 3, 2).quantized()}});
    const std::string good = io::testing::text_of(io::testing::read_file(folder.file("good")));
    for (std::size_t length = 0; length < good.size(); ++length) {
      std::filesystem::remove(folder.file("damaged"));
      io::testing::write_file(folder.file("damaged"), good.substr(0, length));
      EXPECT_THROW(load_layers(folder.file("damaged")), DataError) << length;
      EXPECT_THROW(TensorFile(folder.file("damaged")), DataError) << length;
    }
    for (const std::size_t extra : {1u, 7u, 64u}) {
      std::filesystem::remove(folder.file("damaged"));
      io::testing::write_file(folder.file("damaged"), good + std::string(extra, '\0'));
      EXPECT_THROW(load_layers(folder.file("damaged")), DataError) << extra;
    }
  }
}

/// Codes, scales and bias are needed.
TEST(DamagedLayers, WithoutAPartAreADataError) {
  for (const LayerCase& of : small_cases()) {
    const ScratchFolder folder;
    save_layers(folder.file("good"), {{"x", some_layer(of.config, of.dtype, 3, 2).quantized()}});
    const std::string good = io::testing::text_of(io::testing::read_file(folder.file("good")));
    for (const std::string part :
         {"\"x.weight\"", "\"x.weight_scale\"", "\"x.bias\"", "\"x.input_scale\""}) {
      // A name that is another: the layer lacks the part.
      std::string damaged = good;
      const std::size_t at = good.find(part);
      ASSERT_NE(at, std::string::npos) << part;
      damaged[at + 3] = 'q';
      std::filesystem::remove(folder.file("damaged"));
      io::testing::write_file(folder.file("damaged"), damaged);
      EXPECT_THROW(load_layers(folder.file("damaged")), DataError) << part;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
