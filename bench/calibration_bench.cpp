// Row 19: the entropy search on a histogram, and whole calibrations of real activations with all
// methods. The copy of a calibration is one plain read of the tensors.
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "calibration/entropy.hpp"
#include "inputs.hpp"
#include "io/safetensors.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kNumLevels = 128;
constexpr std::size_t kFirstCandidate = 128;

void add_entropy() {
  auto bins = std::make_shared<std::vector<std::uint64_t>>(2048);
  std::mt19937 generator(5);
  std::normal_distribution<double> normal(0.0, 400.0);
  for (int i = 0; i < 1'000'000; ++i) {
    const double magnitude = std::abs(normal(generator));
    if (magnitude < 2048.0) ++(*bins)[static_cast<std::size_t>(magnitude)];
  }
  // The documented answer for a small histogram: docs/calibration.md has the rule.
  const auto check = [] {
    constexpr std::array<std::uint64_t, 16> kSmall{100, 90, 70, 40, 20, 10, 5, 2,
                                                   1,   0,  0,  0,  0,  0,  0, 3};
    return calibration::modelopt_entropy_bins(kSmall, 4, 4) == 8;
  };
  register_row("19 entropy of 2048 bins", {2048 * sizeof(std::uint64_t), 0}, check, [bins] {
    benchmark::DoNotOptimize(
        calibration::modelopt_entropy_bins(*bins, kNumLevels, kFirstCandidate));
  });
}

/// The activations that CUQAT_BENCH_ACTIVATIONS names, or the project's own.
class Activations {
 public:
  Activations() : file_(io::SafetensorsFile::open(path())) {
    for (const io::TensorEntry& entry : file_.tensors()) {
      if (const auto view = file_.view(entry)) tensors_.push_back(*view);
    }
    for (const ConstTensorView& tensor : tensors_) bytes_ += tensor.size_bytes();
  }
  [[nodiscard]] const std::vector<ConstTensorView>& tensors() const { return tensors_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static std::string path() {
    const char* named = std::getenv("CUQAT_BENCH_ACTIVATIONS");
    return named != nullptr ? named : CUQAT_DATA_DIR "/minilm_activations.safetensors";
  }
  io::SafetensorsFile file_;
  std::vector<ConstTensorView> tensors_;
  std::size_t bytes_ = 0;
};

std::vector<CalibrationResult> calibrate_with_all(const ConstTensorView& tensor) {
  std::vector<CalibrationOptions> methods;
  for (const CalibMethod method : {CalibMethod::kMinMax, CalibMethod::kPercentile,
                                   CalibMethod::kEntropy, CalibMethod::kMse, CalibMethod::kSqnr}) {
    methods.push_back({.method = method});
  }
  return calibrate(std::span(&tensor, 1), Granularity::tensor(), methods, fast());
}

void add_calibration() {
  const auto activations = std::make_shared<Activations>();
  // The extremes are the reference's, and no range costs less than the one of least error.
  const auto check = [activations] {
    for (const ConstTensorView& tensor : activations->tensors()) {
      const std::vector<CalibrationResult> results = calibrate_with_all(tensor);
      if (results[0].high[0] != statistics(tensor, reference()).amax()) return false;
      for (const CalibrationResult& result : results) {
        if (result.mse < results[3].mse) return false;
      }
    }
    return true;
  };
  register_row("19 calibrate activations", {activations->bytes(), 0}, check, [activations] {
    for (const ConstTensorView& tensor : activations->tensors()) {
      benchmark::DoNotOptimize(calibrate_with_all(tensor));
    }
  });
}

const bool kRegistered = [] {
  add_entropy();
  add_calibration();
  return true;
}();

}  // namespace
