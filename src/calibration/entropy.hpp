// The Kullback-Leibler thresholds of two published calibrators, over a histogram of equal bins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cuqat::calibration {

/// modelopt's rule. `counts` are bins of |x| over [0, amax]; candidates keep the first i bins,
/// i = first_candidate .. counts.size(), and merge them into `num_levels` levels. Returns the i of
/// least divergence, the last of equals: the threshold is i bins wide.
/// Source: NVIDIA TensorRT Model Optimizer, HistogramCalibrator (behaviour, not code).
std::size_t modelopt_entropy_bins(std::span<const std::uint64_t> counts, std::size_t num_levels,
                                  std::size_t first_candidate);

/// The divergence of every candidate of modelopt_entropy_bins, in order.
std::vector<double> modelopt_divergences(std::span<const std::uint64_t> counts,
                                         std::size_t num_levels, std::size_t first_candidate);

/// A window of bins [begin, end).
struct BinWindow {
  std::size_t begin;
  std::size_t end;
  friend constexpr bool operator==(BinWindow, BinWindow) = default;
};

/// ONNX Runtime's rule. `counts` are bins of x over [-amax, amax], an even number; candidate i
/// keeps the bins [zero - i, zero + i], i = num_levels / 2 .. counts.size() / 2. Returns the window
/// of least divergence, the first of equals.
/// Source: ONNX Runtime, quantization/calibrate.py (behaviour, not code).
BinWindow onnxruntime_entropy_window(std::span<const std::uint64_t> counts, std::size_t num_levels);

/// The divergence of every candidate of onnxruntime_entropy_window, in order.
std::vector<double> onnxruntime_divergences(std::span<const std::uint64_t> counts,
                                            std::size_t num_levels);

}  // namespace cuqat::calibration
