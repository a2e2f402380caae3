// Files of layers whose header says what save_layers never writes are a DataError, whatever it is.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_file.hpp"
#include "io/support.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

using io::testing::ScratchFolder;

/// The header's text and the data of a file.
struct Parts {
  std::string header;
  std::string data;
};

Parts parts_of(const std::string& path) {
  const std::string text = io::testing::text_of(io::testing::read_file(path));
  std::size_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  }
  return {text.substr(8, length), text.substr(8 + length)};
}

void write(const std::string& path, const Parts& parts) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) {
    text[i] = static_cast<char>(parts.header.size() >> (8 * i) & 0xff);
  }
  std::filesystem::remove(path);
  io::testing::write_file(path, text + parts.header + parts.data);
}

/// Where the value of a line of metadata or of a tensor's entry starts and ends.
std::pair<std::size_t, std::size_t> value_of(const std::string& header, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  const std::size_t at = header.find(key);
  EXPECT_NE(at, std::string::npos) << name;
  const std::size_t start = at + key.size();
  const char close = header[start] == '{' ? '}' : '"';
  return {start, header.find(close, start + 1) + 1};
}

Parts with_value(const Parts& parts, const std::string& name, const std::string& value) {
  const auto [start, end] = value_of(parts.header, name);
  Parts changed = parts;
  changed.header.replace(start, end - start, value);
  return changed;
}

class LayerMetadata : public testing::Test {
 protected:
  LayerMetadata() {
    LayerCase of = layer_case(options_of(Format::kInt8, false), Granularity::channel(0),
                              options_of(Format::kInt8, false), QatProduct::kCodes, DType::kF32);
    save_layers(path_, {{"x", some_layer(of.config, of.dtype, 3, 2).quantized()}});
    good_ = parts_of(path_);
  }
  void expect_refused(const Parts& parts, const std::string& what) {
    write(path_, parts);
    EXPECT_THROW(load_layers(path_), DataError) << what;
  }
  ScratchFolder folder_;
  const std::string path_ = folder_.file("layers.safetensors");
  Parts good_;
};

TEST_F(LayerMetadata, RewrittenAsItIsStillLoads) {
  write(path_, good_);
  EXPECT_EQ(load_layers(path_).size(), 1u);
}

TEST_F(LayerMetadata, OfNoMeaningIsRefused) {
  const std::vector<std::string> numbers{"",
                                         "0",
                                         "-1",
                                         "3.0",
                                         " 3",
                                         "3 ",
                                         "+3",
                                         "0x3",
                                         "4",
                                         "2x",
                                         "1e0",
                                         "999",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "99999999999999999999999",
                                         "-9223372036854775808",
                                         "18446744073709551619"};
  for (const std::string name : {"x.weight.in_features", "x.weight.out_features"}) {
    for (const std::string& value : numbers) {
      expect_refused(with_value(good_, name, "\"" + value + "\""), name + " " + value);
    }
  }
  const std::vector<std::string> words{"", "int9", "INT8", "int8 ", "e4m3", "tensor:", "true1"};
  for (const std::string name :
       {"x.weight.format", "x.input.format", "x.weight.rounding", "x.input.rounding",
        "x.weight.narrow_range", "x.input.narrow_range", "x.weight.granularity",
        "x.input.granularity", "x.weight.dtype"}) {
    for (const std::string& value : words) {
      expect_refused(with_value(good_, name, "\"" + value + "\""), name + " " + value);
    }
  }
  for (const std::string value :
       {"channel", "channel:", "channel:1", "channel:2", "channel:-3", "channel:0 ", "channel:zero",
        "channel:99999999999999999999", "group", "group:", "group:0", "group:-1", "group:2",
        "group:99999999999999999999", "tensor", "tensor:0"}) {
    expect_refused(with_value(good_, "x.weight.granularity", "\"" + value + "\""), value);
  }
  for (const std::string value : {"channel:0", "group:1", "channel:1"}) {
    expect_refused(with_value(good_, "x.input.granularity", "\"" + value + "\""), value);
  }
}

/// What fits together with the codes but not with the tensors' names and types.
TEST_F(LayerMetadata, OfAnotherLayerIsRefused) {
  for (const std::string value : {"int4", "e4m3", "e5m2"}) {
    expect_refused(with_value(good_, "x.weight.format", "\"" + value + "\""), value);
  }
  // The zero points of FP8 inputs are none.
  expect_refused(with_value(good_, "x.input.format", "\"e4m3\""), "input of e4m3");
  expect_refused(with_value(good_, "x.weight.dtype", "\"F64\""), "F64");
  expect_refused(with_value(good_, "x.weight.dtype", "\"BF16\""), "BF16");
  Parts swapped = with_value(good_, "x.weight.in_features", "\"2\"");
  expect_refused(with_value(swapped, "x.weight.out_features", "\"3\""), "3 x 2");
}

TEST_F(LayerMetadata, WhoseTensorsHaveOtherTypesIsRefused) {
  for (const std::string name : {"x.weight", "x.weight_scale", "x.bias", "x.input_scale",
                                 "x.weight_zero_point", "x.input_zero_point"}) {
    const auto [start, end] = value_of(good_.header, name);
    const std::string entry = good_.header.substr(start, end - start);
    const auto changed = [&](const std::string& from, const std::string& to) {
      std::string other = entry;
      const std::size_t at = other.find(from);
      EXPECT_NE(at, std::string::npos) << entry;
      other.replace(at, from.size(), to);
      return with_value(good_, name, other);
    };
    const bool is_codes = name == "x.weight";
    const std::string type = is_codes                       ? "\"I8\""
                             : name.ends_with("zero_point") ? "\"I32\""
                                                            : "\"F32\"";
    // Of as many bytes.
    for (const std::string& other :
         is_codes ? std::vector<std::string>{"\"U8\"", "\"BOOL\"", "\"F8_E4M3\""}
                  : std::vector<std::string>{"\"U32\""}) {
      expect_refused(changed(type, other), name + " " + other);
    }
    expect_refused(changed(type, name.ends_with("zero_point") ? "\"F32\"" : "\"I32\""), name);
  }
}

TEST_F(LayerMetadata, WithNumbersThatAreNoneIsRefused) {
  const auto with_bytes = [&](const std::string& name, std::size_t at, const Bytes& bytes) {
    const auto [start, end] = value_of(good_.header, name);
    const std::size_t offsets = good_.header.find("data_offsets\":[", start) + 15;
    const std::size_t first = std::stoul(good_.header.substr(offsets));
    Parts changed = good_;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      changed.data[first + at + i] = static_cast<char>(bytes[i]);
    }
    return changed;
  };
  for (const double value : {0.0, -1.0, std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    const Bytes bytes = to_bytes(DType::kF32, std::vector{value});
    expect_refused(with_bytes("x.weight_scale", 4, bytes), std::to_string(value));
    expect_refused(with_bytes("x.input_scale", 0, bytes), std::to_string(value));
  }
  for (const std::int32_t zero_point : {-129, 128, 1 << 30}) {
    const Bytes bytes = bytes_of(std::vector{zero_point});
    expect_refused(with_bytes("x.weight_zero_point", 4, bytes), std::to_string(zero_point));
    expect_refused(with_bytes("x.input_zero_point", 0, bytes), std::to_string(zero_point));
  }
}

}  // namespace
}  // namespace cuqat::test
