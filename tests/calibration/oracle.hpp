// docs/numerics.md and docs/calibration.md once more, element by element, from the documents alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/histogram.hpp"

namespace cuqat::test {

/// Scale and zero point of a range in the compute type of `dtype`.
ScaleZeroPoint oracle_scale(Range range, const Quantizer& quantizer, bool symmetric, DType dtype);

/// What quantizing costs; squares are of errors divided by `unit`, so that nothing overflows.
struct OracleCost {
  double rounding = 0.0;
  double clipping = 0.0;
  std::int64_t clipped = 0;
  [[nodiscard]] double total(double clipping_weight) const noexcept {
    return rounding + clipping_weight * clipping;
  }
};

/// Cost of y = fake_quantize(x), y in the compute type, over finite elements.
OracleCost oracle_cost(std::span<const double> x, const Quantizer& quantizer, ScaleZeroPoint params,
                       DType dtype, double unit);

/// fake_quantize(x) in the compute type, and whether x is clipped.
struct OracleElement {
  double y;
  bool clipped;
};
OracleElement oracle_fake_quantize(double x, const Quantizer& quantizer, ScaleZeroPoint params,
                                   DType dtype);

/// Least costs over many candidate ranges, with clipping weight 1 and 3.
struct LeastCost {
  double mse = 0.0;
  double sqnr = 0.0;
};
/// amax * i / num_candidates, i = 1 .. num_candidates.
LeastCost least_symmetric_cost(std::span<const double> x, const Quantizer& quantizer, DType dtype,
                               int num_candidates);
/// Both ends of the range (widened to 0) scaled by i / 400, and all pairs of 25ths of both ends.
LeastCost least_affine_cost(std::span<const double> x, const Quantizer& quantizer, DType dtype);

/// The quantizer that calibration options mean.
Quantizer oracle_quantizer(const CalibrationOptions& options);

/// Equal bins of a tensor's finite elements; for f32, f16 and bf16 in real numbers.
std::vector<std::uint64_t> oracle_histogram(std::span<const double> x, BinRange range,
                                            std::size_t num_bins, DType dtype);

/// Divergence of each candidate, O(bins) each, as docs/calibration.md says it.
std::vector<double> naive_modelopt_divergences(std::span<const std::uint64_t> counts,
                                               std::size_t num_levels, std::size_t first_candidate);
std::vector<double> naive_onnxruntime_divergences(std::span<const std::uint64_t> counts,
                                                  std::size_t num_levels);

}  // namespace cuqat::test
