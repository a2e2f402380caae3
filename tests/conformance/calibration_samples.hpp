// What calibration on the device is tested on, and by which methods.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cuqat/calibration.hpp"
#include "support/random.hpp"

namespace cuqat::test {

struct CalibrationSample {
  std::string name;
  std::vector<double> values;
  bool with_windows = false;  ///< ONNX Runtime's entropy too: hundreds of sums over all bins.
};

inline std::vector<double> normal(std::size_t n, std::uint64_t seed, double scale) {
  Random random(seed);
  std::vector<double> values(n);
  for (double& value : values) value = scale * random.normal();
  return values;
}

inline std::vector<CalibrationSample> calibration_samples() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<CalibrationSample> all;
  all.push_back({"normal", normal(5000, 1, 1.0), true});
  std::vector<double> relu = normal(3000, 2, 4.0);
  for (double& value : relu) value = std::max(value, 0.0);
  all.push_back({"relu", relu});
  std::vector<double> negative = normal(999, 3, 1e-3);
  for (double& value : negative) value = -std::abs(value) - 1e-4;
  all.push_back({"negative", negative});
  std::vector<double> tails = normal(4000, 4, 1.0);
  for (std::size_t i = 0; i < tails.size(); i += 97) tails[i] *= 50.0 + static_cast<double>(i % 7);
  all.push_back({"tails", tails, true});
  std::vector<double> mixed = normal(700, 5, 30.0);
  for (std::size_t i = 0; i < mixed.size(); i += 50) {
    mixed[i] = i % 100 == 0 ? std::nan("") : i % 150 == 0 ? kInfinity : -kInfinity;
  }
  mixed[1] = 0.0;
  mixed[2] = -0.0;
  all.push_back({"mixed", mixed, true});
  all.push_back({"constant", std::vector<double>(300, 0.37)});
  all.push_back({"two_values", {-1.0, 3.0, 3.0, -1.0, 3.0}});
  all.push_back({"zeros", {0.0, -0.0, 0.0}});
  all.push_back({"nothing_finite", {std::nan(""), kInfinity}});
  all.push_back({"one", {-2.5}});
  all.push_back({"smallest", {6e-8, -6e-8, 1.2e-7, 0.0}});  // subnormal in f16
  all.push_back({"none", {}, true});
  return all;
}

inline std::vector<CalibrationOptions> calibration_methods() {
  std::vector<CalibrationOptions> all;
  for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2}) {
    for (const bool symmetric : {true, false}) {
      if (!symmetric && !is_integer(format)) continue;
      for (const CalibMethod method :
           {CalibMethod::kMinMax, CalibMethod::kEntropy, CalibMethod::kMse, CalibMethod::kSqnr}) {
        all.push_back({.method = method, .format = format, .symmetric = symmetric});
      }
      all.push_back({.method = CalibMethod::kEntropy,
                     .dialect = EntropyDialect::kOnnxRuntime,
                     .format = format,
                     .symmetric = symmetric});
      for (const double percentile : {0.0, 50.0, 99.0, 99.99, 100.0}) {
        all.push_back({.method = CalibMethod::kPercentile,
                       .percentile = percentile,
                       .format = format,
                       .symmetric = symmetric});
      }
    }
  }
  all.push_back({.method = CalibMethod::kMse, .rounding = Rounding::kOriginal});
  return all;
}

inline std::string describe(const CalibrationOptions& options) {
  return std::string(to_string(options.method)) + " " + std::string(to_string(options.format)) +
         (options.symmetric ? " symmetric " : " affine ") + std::to_string(options.percentile);
}

}  // namespace cuqat::test
