#include <cstdio>
#include <random>
#include <vector>

#include "cuqat/cuqat.hpp"

int main() {
  std::mt19937 random(42);
  std::vector<float> x(665 * 384);
  for (float& value : x) value = static_cast<float>(random()) / 4294967296.0f - 0.25f;

  cuqat::CalibrationCollector collector(cuqat::DType::kF32);
  collector.observe(x);  // as many batches as there are, in any order
  const auto symmetric = collector.compute({.method = cuqat::CalibMethod::kMse});
  const auto affine =
      collector.compute({.method = cuqat::CalibMethod::kMinMax, .symmetric = false});
  std::printf("symmetric: scale %.6f, %.1f dB\n", symmetric.params.scale[0], symmetric.sqnr_db);
  std::printf("affine: scale %.6f, zero point %d, %.1f dB\n", affine.params.scale[0],
              affine.params.zero_point[0], affine.sqnr_db);

  std::vector<float> y(x.size());
  cuqat::fake_quantize(x, affine.params, y);
  std::printf("%.6f becomes %.6f\n", static_cast<double>(x[0]), static_cast<double>(y[0]));
}
