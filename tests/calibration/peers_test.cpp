// Real activations against what numpy, modelopt and ONNX Runtime answered for them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

std::string path_of(const char* variable, const char* otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : std::string(CUQAT_TEST_DATA_DIR) + otherwise;
}

DType dtype_named(const std::string& name) {
  for (const DType dtype : kAllDTypes) {
    if (to_string(dtype) == name) return dtype;
  }
  throw std::runtime_error("no calibration of " + name);
}

class Peers : public testing::Test {
 protected:
  struct Tensor {
    std::string name;
    Numbers x;
    nlohmann::json peers;
  };

  static void SetUpTestSuite() {
    GoldenFile file(path_of("CUQAT_ACTIVATIONS", "/../../data/minilm_activations.safetensors"));
    std::ifstream stream(path_of("CUQAT_ACTIVATIONS_PEERS", "/minilm_activations_peers.json"));
    const nlohmann::json peers = nlohmann::json::parse(stream);
    for (const auto& [name, entry] : peers.items()) {
      if (name == "versions") continue;
      const GoldenArray& array = file.array(name);
      tensors_.push_back({name, Numbers::from_bytes(dtype_named(array.dtype), array.bytes), entry});
    }
  }
  static void TearDownTestSuite() { tensors_.clear(); }

  void SetUp() override { ASSERT_FALSE(tensors_.empty()); }

  static inline std::vector<Tensor> tensors_;
};

/// The number in "prefix99.9suffix"; 0 where the name is another.
double number_in(const std::string& name, const std::string& prefix, const std::string& suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return 0.0;
  return std::stod(name.substr(prefix.size()));
}

TEST_F(Peers, MinMaxIsExact) {
  for (const auto& [name, x, peers] : tensors_) {
    SCOPED_TRACE(name);
    const auto& exact = peers.at("exact");
    const Statistics all = statistics(x.view());
    EXPECT_EQ(all.count, exact.at("n").get<std::int64_t>());
    EXPECT_EQ(all.min, exact.at("min").get<double>());
    EXPECT_EQ(all.max, exact.at("max").get<double>());
    EXPECT_EQ(all.amax(), exact.at("amax").get<double>());
    CalibrationOptions options;
    EXPECT_EQ(calibrate_one(x.view(), options).high.front(), all.amax());
    options.symmetric = false;
    EXPECT_EQ(calibrate_one(x.view(), options).low.front(), all.min);
    EXPECT_EQ(calibrate_one(x.view(), options).high.front(), all.max);
  }
}

TEST_F(Peers, PercentilesAreExact) {
  for (const auto& [name, x, peers] : tensors_) {
    int checked = 0;
    for (const auto& [key, value] : peers.at("exact").items()) {
      SCOPED_TRACE(testing::Message() << name << ' ' << key);
      CalibrationOptions options{.method = CalibMethod::kPercentile};
      options.percentile = number_in(key, "abs_percentile_", "_nearest_rank");
      if (options.percentile != 0.0) {
        EXPECT_EQ(magnitude_percentile(x.view(), options.percentile), value.get<double>());
        EXPECT_EQ(calibrate_one(x.view(), options).high.front(), value.get<double>());
        ++checked;
      }
      options.symmetric = false;
      options.percentile = number_in(key, "seed_style_two_sided_", "");
      if (options.percentile != 0.0) {
        const Range range = percentile_range(x.view(), options.percentile);
        EXPECT_EQ(range.low, value.at(0).get<double>());
        EXPECT_EQ(range.high, value.at(1).get<double>());
        const CalibrationResult result = calibrate_one(x.view(), options);
        EXPECT_EQ(result.low.front(), value.at(0).get<double>());
        EXPECT_EQ(result.high.front(), value.at(1).get<double>());
        ++checked;
      }
    }
    EXPECT_EQ(checked, 8) << name;
  }
}

TEST_F(Peers, EntropyIsModeloptsWithinOneBin) {
  for (const auto& [name, x, peers] : tensors_) {
    const CalibrationResult result = calibrate_one(x.view(), {.method = CalibMethod::kEntropy});
    const double bin = amax_of(x.values()) / 2048.0;
    EXPECT_NEAR(result.high.front(), peers.at("modelopt").at("entropy").at("amax").get<double>(),
                bin)
        << name << ", a bin is " << bin;
    EXPECT_TRUE(result.exact);
  }
}

TEST_F(Peers, EntropyIsOnnxRuntimesWithinOneBin) {
  for (const auto& [name, x, peers] : tensors_) {
    const CalibrationResult result =
        calibrate_one(x.view(), {.method = CalibMethod::kEntropy,
                                 .dialect = EntropyDialect::kOnnxRuntime,
                                 .symmetric = false});
    const auto& peer = peers.at("onnxruntime").at("entropy_sym_2048");
    const double bin = amax_of(x.values()) / 1024.0;
    EXPECT_NEAR(result.low.front(), peer.at("low").get<double>(), bin) << name;
    EXPECT_NEAR(result.high.front(), peer.at("high").get<double>(), bin) << name;
  }
}

TEST_F(Peers, MseIsNoWorseThanTheBestOf400) {
  for (const auto& [name, x, peers] : tensors_) {
    for (const Format format : {Format::kInt8, Format::kInt4}) {
      const auto& best = peers.at(format == Format::kInt8 ? "best_mse_int8" : "best_mse_int4");
      const auto results = calibrate_all(
          x.view(), {{.method = CalibMethod::kMse, .format = format}, {.format = format}});
      for (const CalibrationResult& result : results) {
        const OracleCost cost = oracle_cost(x.values(), result.params.quantizer,
                                            {result.params.scale.front(), 0}, x.dtype(), 1.0);
        const double mse = cost.total(1.0) / static_cast<double>(x.size());
        EXPECT_NEAR(result.mse, mse, 1e-6 * mse) << name << ' ' << name_of(result.options);
      }
      EXPECT_LE(results[0].mse, 1.001 * best.at("mse").get<double>()) << name;
      EXPECT_NEAR(results[1].mse, best.at("mse_at_max").get<double>(), 1e-4 * results[1].mse)
          << name << ' ' << name_of(results[1].options);
    }
  }
}

}  // namespace
}  // namespace cuqat::test
