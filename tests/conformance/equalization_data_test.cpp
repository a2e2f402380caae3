// The search on some of a real layer, whose activations have large outliers. The data is not where
// the suites of a GPU run, so the executor alone has this test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "conformance/equalizations.hpp"
#include "cuqat/device_equalization.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/golden_file.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kInputs = 384;

/// The first rows of an array.
std::vector<float> rows_of(GoldenFile& file, const std::string& name, std::int64_t rows) {
  std::vector<float> values(static_cast<std::size_t>(rows * kInputs));
  std::memcpy(values.data(), file.array(name).bytes.data(), values.size() * sizeof(float));
  return values;
}

TEST(DeviceFindEqualizationOnData, HasTheHostsBits) {
  if (kThreadSanitized) GTEST_SKIP() << "the kernels are those of smaller layers";
  constexpr std::int64_t kRows = kSanitized ? 8 : 180;  // more elements than are searched as values
  constexpr std::int64_t kOutputs = kSanitized ? 4 : 20;
  GoldenFile activations(CUQAT_TEST_DATA_DIR "/../../data/minilm_activations.safetensors");
  GoldenFile weights(CUQAT_TEST_DATA_DIR "/../../data/minilm_weight.safetensors");
  const std::string layer = "encoder.layer.0.intermediate.dense.";
  const std::vector<float> x = rows_of(activations, layer + "input", kRows);
  const std::vector<float> w = rows_of(weights, layer + "weight", kOutputs);
  const DeviceMemory device_x(x);
  const DeviceMemory device_w(w);
  EqualizationOptions options;
  options.activation = {.method = CalibMethod::kMse, .symmetric = false};
  options.weight = {.method = CalibMethod::kPercentile};
  options.alphas = {0.5, 0.7};
  set_device_order(0);
  const Equalization expected =
      find_equalization({x.data(), Shape{kRows, kInputs}}, {w.data(), Shape{kOutputs, kInputs}},
                        options, {Backend::named("reference"), 1});
  const Equalization found =
      find_equalization({device_x.as<float>(), Shape{kRows, kInputs}},
                        {device_w.as<float>(), Shape{kOutputs, kInputs}}, options,
                        device_under_test().context, device_under_test().stream);
  EXPECT_EQ(device_fault(), "");
  expect_same_bits(found, expected);
  EXPECT_LT(found.output_error, 0.5 * found.unequalized_error);
}

}  // namespace
}  // namespace cuqat::test
