// `quantize` and `dequantize`: what is in the files, and the way there and back.
#include <functional>
#include <limits>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/fake_quant.hpp"

namespace cuqat::test {
namespace {

class Quantize : public ProgramTest {
 protected:
  void calibrate(const std::vector<RawTensor>& tensors, std::vector<std::string> words = {}) {
    write_safetensors_file(path("in.safetensors"), tensors);
    words.insert(words.begin(),
                 {"calibrate", path("in.safetensors"), "--quiet", "--json", params()});
    const Outcome outcome = run(words);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  Outcome quantize(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"quantize", path("in.safetensors"), "--params", params(), "--out",
                                 path("codes.safetensors")});
    return run(words);
  }
  Outcome dequantize() {
    return run({"dequantize", path("codes.safetensors"), "--out", path("back.safetensors")});
  }
  // Changes the parameters by hand.
  void edit(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = nlohmann::json::parse(read_file(params()));
    change(json);
    write_file(params(), json.dump());
  }
  [[nodiscard]] std::string params() const { return path("params.json"); }
};

TEST_F(Quantize, WritesCodesScaleAndZeroPoint) {
  calibrate({f32_tensor("x", {2, 3}, {-1.27f, 0, 0.5f, 1.27f, 0.004f, 0.006f})},
            {"--method", "minmax"});
  ASSERT_EQ(quantize().exit_code, 0);
  const auto tensors = read_safetensors_file(path("codes.safetensors"));
  ASSERT_EQ(tensors.size(), 3u);
  const RawTensor& codes = find_tensor(tensors, "x");
  EXPECT_EQ(codes.dtype, "I8");
  EXPECT_EQ(codes.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(values_of<std::int8_t>(codes), (std::vector<std::int8_t>{-127, 0, 50, 127, 0, 1}));
  const RawTensor& scale = find_tensor(tensors, "x_scale");
  EXPECT_EQ(scale.dtype, "F32");
  EXPECT_EQ(scale.shape, std::vector<std::int64_t>{1});
  EXPECT_EQ(values_of<float>(scale), std::vector<float>{1.27f / 127.0f});
  const RawTensor& zero_point = find_tensor(tensors, "x_zero_point");
  EXPECT_EQ(zero_point.dtype, "I32");
  EXPECT_EQ(values_of<std::int32_t>(zero_point), std::vector<std::int32_t>{0});
}

TEST_F(Quantize, Int4IsPackedTheEarlierCodeInTheLowBits) {
  calibrate({f32_tensor("x", {5}, {7, -7, 1, 2, 3})}, {"--method", "minmax", "--format", "int4"});
  ASSERT_EQ(quantize().exit_code, 0);
  const auto tensors = read_safetensors_file(path("codes.safetensors"));
  const RawTensor& codes = find_tensor(tensors, "x");
  EXPECT_EQ(codes.dtype, "U8");
  EXPECT_EQ(codes.shape, std::vector<std::int64_t>{3});
  EXPECT_EQ(values_of<std::uint8_t>(codes), (std::vector<std::uint8_t>{0x97, 0x21, 0x03}));
}

TEST_F(Quantize, Fp8HasItsOwnDtypes) {
  calibrate({f32_tensor("x", {3}, {448, -1, 0})}, {"--method", "minmax", "--format", "e4m3"});
  ASSERT_EQ(quantize().exit_code, 0);
  auto tensors = read_safetensors_file(path("codes.safetensors"));
  EXPECT_EQ(find_tensor(tensors, "x").dtype, "F8_E4M3");
  EXPECT_EQ(values_of<std::uint8_t>(find_tensor(tensors, "x")),
            (std::vector<std::uint8_t>{0x7e, 0xb8, 0x00}));
  calibrate({f32_tensor("x", {3}, {57344, -1, 0})}, {"--method", "minmax", "--format", "e5m2"});
  ASSERT_EQ(quantize().exit_code, 0);
  tensors = read_safetensors_file(path("codes.safetensors"));
  EXPECT_EQ(find_tensor(tensors, "x").dtype, "F8_E5M2");
  EXPECT_EQ(values_of<std::uint8_t>(find_tensor(tensors, "x")),
            (std::vector<std::uint8_t>{0x7b, 0xbc, 0x00}));
}

TEST_F(Quantize, ScalesHaveTheShapeOfTheGranularity) {
  const std::vector<float> values = activations(2 * 3 * 10, 5);
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> cases = {
      {"tensor", {1}}, {"channel:1", {3}}, {"channel:-1", {10}}, {"group:4", {6, 3}}};
  for (const auto& [granularity, shape] : cases) {
    calibrate({f32_tensor("x", {2, 3, 10}, values)},
              {"--method", "minmax", "--granularity", granularity});
    ASSERT_EQ(quantize().exit_code, 0);
    const auto tensors = read_safetensors_file(path("codes.safetensors"));
    EXPECT_EQ(find_tensor(tensors, "x_scale").shape, shape) << granularity;
    EXPECT_EQ(find_tensor(tensors, "x_zero_point").shape, shape) << granularity;
  }
}

struct RoundTrip {
  const char* name;
  std::string dtype;
  std::vector<std::string> words;
};

std::string name_of(const ::testing::TestParamInfo<RoundTrip>& info) { return info.param.name; }

class QuantizeRoundTrip : public Quantize, public ::testing::WithParamInterface<RoundTrip> {};

// What fake_quantize gives for the parameters of the JSON's only result.
std::string fake_quantized(const RawTensor& tensor, const nlohmann::json& json) {
  const nlohmann::json& result = json["tensors"][0]["results"][0];
  QuantParams params;
  const std::string format = json["format"];
  params.quantizer.format = format == "int8"   ? Format::kInt8
                            : format == "int4" ? Format::kInt4
                            : format == "e4m3" ? Format::kE4M3
                                               : Format::kE5M2;
  if (json["rounding"] == "original") params.quantizer.rounding = Rounding::kOriginal;
  params.quantizer.narrow_range =
      json["symmetric"].get<bool>() && is_integer(params.quantizer.format);
  const std::string granularity = json["granularity"];
  if (granularity == "channel:1") params.granularity = Granularity::channel(1);
  if (granularity == "group:4") params.granularity = Granularity::group(4);
  params.scale = result["scale"].get<std::vector<double>>();
  params.zero_point = result["zero_point"].get<std::vector<std::int32_t>>();
  const DType dtype = tensor.dtype == "F32"    ? DType::kF32
                      : tensor.dtype == "F64"  ? DType::kF64
                      : tensor.dtype == "BF16" ? DType::kBF16
                                               : DType::kF16;
  std::string values = tensor.bytes;
  const Shape shape{std::span(tensor.shape)};
  fake_quantize(ConstTensorView(tensor.bytes.data(), dtype, shape), params,
                TensorView(values.data(), dtype, shape));
  return values;
}

TEST_P(QuantizeRoundTrip, DequantizeGivesWhatFakeQuantizeDoes) {
  std::vector<float> values = activations(7 * 3 * 10, 9);
  values[0] = std::numeric_limits<float>::infinity();
  values[1] = -std::numeric_limits<float>::infinity();
  values[2] = -0.0f;
  const std::string& dtype = GetParam().dtype;
  std::string bytes = raw_bytes(values);
  if (dtype == "F64") bytes = raw_bytes(std::vector<double>(values.begin(), values.end()));
  if (dtype == "BF16") bytes = raw_bytes(truncated_to_bf16(values));
  // Patterns of F16 that are no NaN.
  std::vector<std::uint16_t> halves;
  for (std::uint32_t i = 0; i < 210; ++i)
    halves.push_back(static_cast<std::uint16_t>(i * 311 % 0x7c00));
  if (dtype == "F16") bytes = raw_bytes(halves);
  const RawTensor tensor{"x", dtype, {7, 3, 10}, bytes};
  std::vector<std::string> words = {"--method", "percentile", "--percentile", "99"};
  words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
  calibrate({tensor}, words);
  ASSERT_EQ(quantize().exit_code, 0);
  const Outcome outcome = dequantize();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto back = read_safetensors_file(path("back.safetensors"));
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].name, "x");
  EXPECT_EQ(back[0].dtype, dtype);
  EXPECT_EQ(back[0].shape, tensor.shape);
  const std::string expected = fake_quantized(tensor, nlohmann::json::parse(read_file(params())));
  EXPECT_TRUE(back[0].bytes == expected);
  EXPECT_FALSE(back[0].bytes == bytes);  // Something was rounded.
}

INSTANTIATE_TEST_SUITE_P(
    Formats, QuantizeRoundTrip,
    ::testing::Values(
        RoundTrip{"f32_int8", "F32", {}}, RoundTrip{"f64_int8", "F64", {}},
        RoundTrip{"bf16_int8", "BF16", {}}, RoundTrip{"f16_int8", "F16", {}},
        RoundTrip{"f32_int8_affine", "F32", {"--affine"}},
        RoundTrip{"f32_int4_affine_group",
                  "F32",
                  {"--format", "int4", "--affine", "--granularity", "group:4"}},
        RoundTrip{"f64_int4_channel", "F64", {"--format", "int4", "--granularity", "channel:1"}},
        RoundTrip{"f32_original", "F32", {"--rounding", "original"}},
        RoundTrip{"bf16_e4m3_group", "BF16", {"--format", "e4m3", "--granularity", "group:4"}},
        RoundTrip{"f32_e4m3", "F32", {"--format", "e4m3"}},
        RoundTrip{"f64_e5m2_channel", "F64", {"--format", "e5m2", "--granularity", "channel:1"}}),
    name_of);

TEST_F(Quantize, EmptyTensorsGoThereAndBack) {
  calibrate({f32_tensor("x", {0, 3}, {}), f32_tensor("y", {2}, {1, 2})}, {"--method", "minmax"});
  ASSERT_EQ(quantize().exit_code, 0);
  ASSERT_EQ(dequantize().exit_code, 0);
  const auto back = read_safetensors_file(path("back.safetensors"));
  EXPECT_EQ(find_tensor(back, "x").shape, (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(find_tensor(back, "y").bytes.size(), 8u);
}

TEST_F(Quantize, SeveralResultsNeedAChoice) {
  calibrate({f32_tensor("x", {3}, {1, 2, 3})},
            {"--method", "mse,percentile", "--percentile", "99", "--percentile", "50"});
  Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(
      is_one_error(outcome.err, "choose by --method one of mse, percentile:99, percentile:50"));
  outcome = quantize({"--method", "percentile"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(is_one_error(outcome.err, "more than one result of \"percentile\""));
  EXPECT_EQ(quantize({"--method", "entropy"}).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(path("codes.safetensors")));
  EXPECT_EQ(quantize({"--method", "percentile:50"}).exit_code, 0);
  EXPECT_EQ(quantize({"--method", "mse"}).exit_code, 0);
}

TEST_F(Quantize, DamagedParametersExitWith3AndSayWhatIsWrong) {
  struct Case {
    const char* part;
    std::function<void(nlohmann::json&)> change;
  };
  using Json = nlohmann::json;
  const auto result = [](Json& json) -> Json& { return json["tensors"][0]["results"][0]; };
  const std::vector<Case> cases = {
      {"\"cuqat\" is missing", [](Json& json) { json.erase("cuqat"); }},
      {"\"format\" is \"int2\"", [](Json& json) { json["format"] = "int2"; }},
      {"\"symmetric\" must be true or false", [](Json& json) { json["symmetric"] = 1; }},
      {"\"granularity\" is \"group:0\"", [](Json& json) { json["granularity"] = "group:0"; }},
      {"\"rounding\" is", [](Json& json) { json["rounding"] = "up"; }},
      {"\"tensors\" must be an array", [](Json& json) { json["tensors"] = Json::object(); }},
      {"\"tensors\" is empty", [](Json& json) { json["tensors"] = Json::array(); }},
      {"tensors[0]: is number", [](Json& json) { json["tensors"][0] = 5; }},
      {"\"name\" is missing", [](Json& json) { json["tensors"][0].erase("name"); }},
      {"\"dtype\" is \"F8\"", [](Json& json) { json["tensors"][0]["dtype"] = "F8"; }},
      {"is repeated", [](Json& json) { json["tensors"].push_back(json["tensors"][0]); }},
      {"\"results\" is empty", [](Json& json) { json["tensors"][0]["results"] = Json::array(); }},
      {"\"method\" is \"luck\"", [=](Json& json) { result(json)["method"] = "luck"; }},
      {"\"scale\" is missing", [=](Json& json) { result(json).erase("scale"); }},
      {"a scale must be positive", [=](Json& json) { result(json)["scale"][0] = -1.0; }},
      {"a scale must be positive", [=](Json& json) { result(json)["scale"][0] = 0; }},
      {"\"scale\" must be an array of numbers",
       [=](Json& json) { result(json)["scale"][0] = "1"; }},
      {"needs 1",
       [=](Json& json) {
         result(json)["scale"] = {1.0, 2.0}, result(json)["zero_point"] = {0, 0};
       }},
      {"\"zero_point\" has 2 entries",
       [=](Json& json) {
         result(json)["zero_point"] = {0, 0};
       }},
      {"\"zero_point\" holds", [=](Json& json) { result(json)["zero_point"][0] = 0.5; }},
      {"\"zero_point\" holds", [=](Json& json) { result(json)["zero_point"][0] = 1ull << 63; }},
      {"zero_point", [=](Json& json) { result(json)["zero_point"][0] = 1000; }},
      {"scale", [=](Json& json) { result(json)["scale"][0] = 1e-60; }},
      {"it was calibrated as F64", [](Json& json) { json["tensors"][0]["dtype"] = "F64"; }},
      {"is not in it", [](Json& json) { json["tensors"][0]["name"] = "y"; }},
      {"scales for it; its shape asks for 3",
       [](Json& json) { json["granularity"] = "channel:0"; }},
      {"axis", [](Json& json) { json["granularity"] = "channel:7"; }},
  };
  for (const Case& one : cases) {
    calibrate({f32_tensor("x", {3}, {1, 2, 3})}, {"--method", "minmax"});
    edit(one.change);
    const Outcome outcome = quantize();
    EXPECT_EQ(outcome.exit_code, 3) << one.part;
    EXPECT_TRUE(is_one_error(outcome.err, one.part));
    EXPECT_EQ(names(), (std::vector<std::string>{"in.safetensors", "params.json"})) << one.part;
  }
}

TEST_F(Quantize, NamesThatWouldMeetInTheOutputAreRefused) {
  calibrate({f32_tensor("x", {1}, {1}), f32_tensor("x_scale", {1}, {1})}, {"--method", "minmax"});
  const Outcome outcome = quantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "x_scale"));
  EXPECT_FALSE(std::filesystem::exists(path("codes.safetensors")));
}

TEST_F(Quantize, DequantizeRefusesAFileThatQuantizeDidNotWrite) {
  write_safetensors_file(path("codes.safetensors"), {f32_tensor("x", {1}, {1})});
  const Outcome outcome = dequantize();
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "metadata has no "));
  EXPECT_FALSE(std::filesystem::exists(path("back.safetensors")));
}

TEST_F(Quantize, DequantizeRefusesMetadataThatTheCodesDoNotMatch) {
  calibrate({f32_tensor("x", {3}, {1, 2, 3})}, {"--method", "minmax"});
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"[3]}}", "[4]}}"},
      {"[3]}}", "[-]}}"},
      {"\\\"F32\\\"", "\\\"F64\\\""},
      {"\\\"F32\\\"", "\\\"I32\\\""},
      {"\"int8\"", "\"int4\""},
      {"\"int8\"", "\"e4m3\""},
      {"\"true\"", "\"yes!\""},
      {"nearest-even", "nearest-evil"},
      {"x_scale", "y_scale"}};
  for (const auto& [before, after] : changes) {
    ASSERT_EQ(quantize().exit_code, 0);
    std::string bytes = read_file(path("codes.safetensors"));
    const std::size_t at = bytes.find(before);
    ASSERT_NE(at, std::string::npos) << before;
    bytes.replace(at, before.size(), after);
    write_file(path("codes.safetensors"), bytes);
    const Outcome outcome = dequantize();
    EXPECT_EQ(outcome.exit_code, 3) << before << " " << after;
    EXPECT_TRUE(is_one_error(outcome.err, "codes.safetensors")) << before << " " << after;
    EXPECT_FALSE(std::filesystem::exists(path("back.safetensors"))) << before << " " << after;
  }
}

}  // namespace
}  // namespace cuqat::test
