#include "calibration/answers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace cuqat::test {
namespace {

std::vector<std::uint64_t> bits_of(const std::vector<double>& numbers) {
  std::vector<std::uint64_t> bits(numbers.size());
  std::transform(numbers.begin(), numbers.end(), bits.begin(),
                 [](double x) { return std::bit_cast<std::uint64_t>(x); });
  return bits;
}

}  // namespace

std::string name_of(const CalibrationOptions& options) {
  std::string name(to_string(options.method));
  if (options.method == CalibMethod::kEntropy) name.append(" ").append(to_string(options.dialect));
  if (options.method == CalibMethod::kPercentile) {
    name.append(" ").append(std::to_string(options.percentile));
  }
  name.append(" ").append(to_string(options.format));
  name.append(" ").append(to_string(options.rounding));
  return name.append(options.symmetric ? " symmetric" : " affine");
}

std::vector<CalibrationOptions> all_methods(Format format) {
  std::vector<CalibrationOptions> methods;
  for (const bool symmetric : {true, false}) {
    if (!symmetric && !is_integer(format)) continue;
    CalibrationOptions options{.format = format, .symmetric = symmetric};
    for (const CalibMethod method :
         {CalibMethod::kMinMax, CalibMethod::kPercentile, CalibMethod::kMse, CalibMethod::kSqnr}) {
      options.method = method;
      options.percentile = 97.5;
      methods.push_back(options);
    }
    options.method = CalibMethod::kEntropy;
    for (const EntropyDialect dialect :
         {EntropyDialect::kModelopt, EntropyDialect::kOnnxRuntime, EntropyDialect::kOriginal}) {
      options.dialect = dialect;
      methods.push_back(options);
    }
  }
  return methods;
}

CalibrationResult calibrate_one(ConstTensorView x, const CalibrationOptions& options,
                                const Granularity& granularity, const HostOptions& host) {
  return calibrate_all(x, {options}, granularity, host).front();
}

std::vector<CalibrationResult> calibrate_all(ConstTensorView x,
                                             const std::vector<CalibrationOptions>& methods,
                                             const Granularity& granularity,
                                             const HostOptions& host) {
  return calibrate({&x, 1}, granularity, methods, host);
}

void expect_same(const CalibrationResult& a, const CalibrationResult& b, const std::string& what) {
  SCOPED_TRACE(what + ": " + name_of(a.options));
  EXPECT_EQ(name_of(a.options), name_of(b.options));
  EXPECT_EQ(a.params.quantizer, b.params.quantizer);
  EXPECT_EQ(a.params.granularity, b.params.granularity);
  EXPECT_EQ(bits_of(a.params.scale), bits_of(b.params.scale));
  EXPECT_EQ(a.params.zero_point, b.params.zero_point);
  EXPECT_EQ(bits_of(a.low), bits_of(b.low));
  EXPECT_EQ(bits_of(a.high), bits_of(b.high));
  EXPECT_EQ(a.exact, b.exact);
  EXPECT_EQ(bits_of({a.clipped, a.mse, a.sqnr_db}), bits_of({b.clipped, b.mse, b.sqnr_db}))
      << a.clipped << ' ' << a.mse << ' ' << a.sqnr_db << " against " << b.clipped << ' ' << b.mse
      << ' ' << b.sqnr_db;
}

void expect_same(const std::vector<CalibrationResult>& a, const std::vector<CalibrationResult>& b,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) expect_same(a[i], b[i], what);
}

bool has_usable_scales(const CalibrationResult& result, DType dtype) {
  const double least =
      dtype == DType::kF64 ? std::numeric_limits<double>::min() : std::numeric_limits<float>::min();
  const double largest =
      dtype == DType::kF64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
  return std::all_of(result.params.scale.begin(), result.params.scale.end(),
                     [=](double s) { return s >= least && s <= largest; });
}

}  // namespace cuqat::test
