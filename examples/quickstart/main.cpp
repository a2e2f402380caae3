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
  const auto result = collector.compute({.method = cuqat::CalibMethod::kMse, .symmetric = false});
  std::vector<float> y(x.size());
  cuqat::fake_quantize(x, result.params, y);

  std::printf("scale %.6f, zero point %d: %.6f becomes %.6f, %.1f dB\n", result.params.scale[0],
              result.params.zero_point[0], double{x[0]}, double{y[0]}, result.sqnr_db);
}
