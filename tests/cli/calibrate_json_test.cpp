// The JSON of `calibrate`: its keys, their order, and numbers worked out by hand.
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class CalibrateJson : public ProgramTest {
 protected:
  Json calibrate(const std::vector<RawTensor>& tensors, std::vector<std::string> words = {}) {
    write_safetensors_file(path("in.safetensors"), tensors);
    words.insert(words.begin(), {"calibrate", path("in.safetensors"), "--json", "-"});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out.find("nan,"), std::string::npos);
    return Json::parse(outcome.out);  // Refuses NaN and Infinity.
  }
};

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> result;
  for (const auto& [key, value] : object.items()) result.push_back(key);
  return result;
}

TEST_F(CalibrateJson, HasTheDocumentedKeysInOrder) {
  const Json json = calibrate({f32_tensor("x", {2, 2}, {1, 2, 3, -4})});
  using Names = std::vector<std::string>;
  EXPECT_EQ(keys(json),
            (Names{"cuqat", "format", "symmetric", "granularity", "rounding", "tensors"}));
  const Json& tensor = json["tensors"][0];
  EXPECT_EQ(keys(tensor), (Names{"name", "dtype", "shape", "count", "nan", "pos_inf", "neg_inf",
                                 "zeros", "min", "max", "results"}));
  ASSERT_EQ(tensor["results"].size(), 5u);
  const Names rest = {"exact", "scale", "zero_point", "low", "high", "clipped", "mse", "sqnr_db"};
  for (const Json& result : tensor["results"]) {
    Names expected = {"method"};
    if (result["method"] == "percentile") expected.push_back("percentile");
    expected.insert(expected.end(), rest.begin(), rest.end());
    EXPECT_EQ(keys(result), expected);
  }
}

TEST_F(CalibrateJson, RepeatsWhatWasAsked) {
  const Json defaults = calibrate({f32_tensor("x", {1}, {1})});
  EXPECT_EQ(defaults["cuqat"], "0.1.0");
  EXPECT_EQ(defaults["format"], "int8");
  EXPECT_EQ(defaults["symmetric"], true);
  EXPECT_EQ(defaults["granularity"], "tensor");
  EXPECT_EQ(defaults["rounding"], "nearest-even");
  const Json asked =
      calibrate({f32_tensor("x", {2, 2}, {1, 2, 3, 4})},
                {"--format", "int4", "--affine", "--granularity", "channel:-1", "--rounding",
                 "original", "--method", "entropy,minmax", "--dialect", "onnxruntime"});
  EXPECT_EQ(asked["format"], "int4");
  EXPECT_EQ(asked["symmetric"], false);
  EXPECT_EQ(asked["granularity"], "channel:-1");
  EXPECT_EQ(asked["rounding"], "original");
  const Json& results = asked["tensors"][0]["results"];
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0]["method"], "entropy");
  EXPECT_EQ(results[1]["method"], "minmax");
}

TEST_F(CalibrateJson, GivesOneResultForEachPercentile) {
  std::vector<float> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(static_cast<float>(i));
  const Json json = calibrate({f32_tensor("x", {1000}, values)},
                              {"--method", "percentile", "--percentile", "75", "--percentile", "50",
                               "--percentile", "75.0", "--percentile", "100"});
  const Json& results = json["tensors"][0]["results"];
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[0]["percentile"], 75.0);
  EXPECT_EQ(results[0]["high"][0], 750.0);  // Nearest rank: the 750th of 1000.
  EXPECT_EQ(results[1]["high"][0], 500.0);
  EXPECT_EQ(results[2]["high"][0], 1000.0);
}

TEST_F(CalibrateJson, MinMaxOfF32IsAmaxOver127InSinglePrecision) {
  const Json json =
      calibrate({f32_tensor("x", {4}, {0.1f, -0.3f, 0.2f, 0.0f})}, {"--method", "minmax"});
  const Json& tensor = json["tensors"][0];
  EXPECT_EQ(tensor["count"], 4);
  EXPECT_EQ(tensor["zeros"], 1);
  EXPECT_EQ(tensor["min"].get<double>(), static_cast<double>(-0.3f));
  EXPECT_EQ(tensor["max"].get<double>(), static_cast<double>(0.2f));
  const Json& result = tensor["results"][0];
  EXPECT_EQ(result["scale"][0].get<double>(), static_cast<double>(0.3f / 127.0f));
  EXPECT_EQ(result["zero_point"][0], 0);
  EXPECT_EQ(result["exact"], true);
}

TEST_F(CalibrateJson, AffineRangeIsWidenedToHoldZero) {
  const Json json =
      calibrate({f32_tensor("x", {3}, {2, 4, 10})}, {"--method", "minmax", "--affine"});
  const Json& result = json["tensors"][0]["results"][0];
  EXPECT_EQ(result["low"][0], 0.0);
  EXPECT_EQ(result["high"][0], 10.0);
  EXPECT_EQ(result["zero_point"][0], -128);
  EXPECT_EQ(result["scale"][0].get<double>(), static_cast<double>(10.0f / 255.0f));
}

TEST_F(CalibrateJson, DoublesKeepAllTheirBits) {
  const std::vector<double> values = {0.1, -1.0 / 3.0, 1e-300, 5e-324, 0.30000000000000004};
  const Json json = calibrate({{"x", "F64", {5}, raw_bytes(values)}}, {"--method", "minmax"});
  const Json& tensor = json["tensors"][0];
  EXPECT_EQ(tensor["min"].get<double>(), -1.0 / 3.0);
  EXPECT_EQ(tensor["max"].get<double>(), 0.30000000000000004);
  EXPECT_EQ(tensor["results"][0]["scale"][0].get<double>(), (1.0 / 3.0) / 127.0);
}

TEST_F(CalibrateJson, RealNumbersAreNeverWrittenAsIntegers) {
  const Json json = calibrate({f32_tensor("x", {2}, {127, -127})}, {"--method", "minmax"});
  const Json& tensor = json["tensors"][0];
  EXPECT_TRUE(tensor["min"].is_number_float());
  EXPECT_TRUE(tensor["results"][0]["scale"][0].is_number_float());
  EXPECT_EQ(tensor["results"][0]["scale"][0], 1.0);
}

TEST_F(CalibrateJson, NaNAndInfinitiesAreCountedAndExcluded) {
  const Json json =
      calibrate({f32_tensor("x", {7}, {kNaN, kInfinity, -kInfinity, -kInfinity, 2, -1, kNaN})});
  const Json& tensor = json["tensors"][0];
  EXPECT_EQ(tensor["count"], 7);
  EXPECT_EQ(tensor["nan"], 2);
  EXPECT_EQ(tensor["pos_inf"], 1);
  EXPECT_EQ(tensor["neg_inf"], 2);
  EXPECT_EQ(tensor["min"], -1.0);
  EXPECT_EQ(tensor["max"], 2.0);
}

TEST_F(CalibrateJson, ATensorWithoutAFiniteElementHasNoRangeAndScale1) {
  const Json json =
      calibrate({f32_tensor("empty", {0, 3}, {}), f32_tensor("nan", {2}, {kNaN, kNaN}),
                 f32_tensor("inf", {1}, {kInfinity})});
  ASSERT_EQ(json["tensors"].size(), 3u);
  EXPECT_EQ(json["tensors"][0]["shape"], Json::array({0, 3}));
  for (const Json& tensor : json["tensors"]) {
    EXPECT_TRUE(tensor["min"].is_null());
    EXPECT_TRUE(tensor["max"].is_null());
    for (const Json& result : tensor["results"]) {
      EXPECT_EQ(result["scale"], Json::array({1.0})) << result;
      EXPECT_EQ(result["zero_point"], Json::array({0})) << result;
      EXPECT_TRUE(result["sqnr_db"].is_null()) << result;
    }
  }
}

TEST_F(CalibrateJson, AnAllZeroTensorHasScale1AndNoError) {
  for (const std::string format : {"int8", "int4", "e4m3", "e5m2"}) {
    const Json json = calibrate({f32_tensor("x", {3}, {0, -0.0f, 0})}, {"--format", format});
    EXPECT_EQ(json["tensors"][0]["zeros"], 3);
    for (const Json& result : json["tensors"][0]["results"]) {
      EXPECT_EQ(result["scale"][0], 1.0);
      EXPECT_EQ(result["mse"], 0.0);
      EXPECT_TRUE(result["sqnr_db"].is_null());
    }
  }
}

TEST_F(CalibrateJson, EveryFormatTakesEveryGranularity) {
  const std::vector<float> values = activations(2 * 3 * 10, 3);
  const std::vector<std::pair<std::string, std::size_t>> granularities = {
      {"tensor", 1},   {"channel:0", 2}, {"channel:1", 3}, {"channel:-1", 10},
      {"group:4", 18}, {"group:10", 6},  {"group:1000", 6}};
  for (const std::string format : {"int8", "int4", "e4m3", "e5m2"}) {
    for (const auto& [granularity, num_scales] : granularities) {
      const Json json = calibrate({f32_tensor("x", {2, 3, 10}, values)},
                                  {"--format", format, "--granularity", granularity});
      for (const Json& result : json["tensors"][0]["results"]) {
        for (const char* key : {"scale", "zero_point", "low", "high"}) {
          EXPECT_EQ(result[key].size(), num_scales) << format << granularity << key;
        }
      }
    }
  }
}

TEST_F(CalibrateJson, TensorsAreSortedByName) {
  const Json json = calibrate(
      {f32_tensor("b", {1}, {1}), f32_tensor("a.2", {1}, {1}), f32_tensor("a.10", {1}, {1})},
      {"--method", "minmax"});
  EXPECT_EQ(json["tensors"][0]["name"], "a.10");
  EXPECT_EQ(json["tensors"][1]["name"], "a.2");
  EXPECT_EQ(json["tensors"][2]["name"], "b");
}

TEST_F(CalibrateJson, NamesAreEscaped) {
  const std::string name = "quote\" back\\slash \n \xc3\xa9";
  const Json json = calibrate({f32_tensor(name, {1}, {1})}, {"--method", "minmax"});
  EXPECT_EQ(json["tensors"][0]["name"], name);
}

TEST_F(CalibrateJson, MatchKeepsTheTensorsWhoseNameItFinds) {
  const Json json =
      calibrate({f32_tensor("layer.0.in", {1}, {1}), f32_tensor("layer.1.out", {1}, {1}),
                 f32_tensor("layer.1.in", {1}, {1})},
                {"--match", "\\.in$"});
  ASSERT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][0]["name"], "layer.0.in");
  EXPECT_EQ(json["tensors"][1]["name"], "layer.1.in");
}

TEST_F(CalibrateJson, BatchesOfDifferentShapesGiveTheirCount) {
  write_safetensors_file(path("b.safetensors"),
                         {f32_tensor("x", {2, 3}, std::vector<float>(6, 1))});
  const Json json = calibrate({f32_tensor("x", {2, 2}, {1, 2, 3, 4})}, {path("b.safetensors")});
  EXPECT_EQ(json["tensors"][0]["shape"], Json::array({10}));
  EXPECT_EQ(json["tensors"][0]["count"], 10);
}

TEST_F(CalibrateJson, MaximaOfTheDtypesStayFinite) {
  const float most = std::numeric_limits<float>::max();
  const double most_f64 = std::numeric_limits<double>::max();
  const Json json = calibrate({f32_tensor("a", {3}, {most, -most, 1}),
                               {"b", "F64", {2}, raw_bytes(std::vector{most_f64, -most_f64})},
                               f32_tensor("c", {2}, {1e-45f, 0})});
  for (const Json& tensor : json["tensors"]) {
    for (const Json& result : tensor["results"]) {
      EXPECT_TRUE(std::isfinite(result["scale"][0].get<double>())) << result;
      EXPECT_GT(result["scale"][0].get<double>(), 0.0) << result;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
