// One-pass statistics of a tensor, exact and mergeable, and the error that quantizing it costs.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/host_device.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// What one read of a tensor, channel or group tells. Infinities and NaN are counted apart and are
/// never part of the range. A zero extremum is always +0.
struct Statistics {
  std::int64_t count = 0;  ///< All elements.
  std::int64_t nan = 0;
  std::int64_t pos_inf = 0;
  std::int64_t neg_inf = 0;
  std::int64_t zeros = 0;                                 ///< +0 and -0.
  double min = std::numeric_limits<double>::infinity();   ///< +infinity where finite() == 0.
  double max = -std::numeric_limits<double>::infinity();  ///< -infinity where finite() == 0.

  [[nodiscard]] CUQAT_HD std::int64_t finite() const noexcept {
    return count - nan - pos_inf - neg_inf;
  }
  /// Largest finite magnitude; 0 where there is none.
  [[nodiscard]] CUQAT_HD double amax() const noexcept {
    return finite() == 0 ? 0.0 : max < -min ? -min : max;
  }
  /// Adds another part of the same tensor. Associative and commutative.
  void merge(const Statistics& other) noexcept;

  friend bool operator==(const Statistics&, const Statistics&) = default;
};

/// Statistics of the whole tensor in one read.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
Statistics statistics(ConstTensorView x, const HostOptions& options = {});

/// The same for each channel or group.
/// Shape:  one entry for each scale that the granularity has.
/// @throws InvalidArgument as num_scales.
std::vector<Statistics> statistics(ConstTensorView x, const Granularity& granularity,
                                   const HostOptions& options = {});

/// Sum of squared quantization errors, exact in integers, so that it does not depend on the order,
/// the cut or the threads. Each squared error is divided by the square of a unit (below), rounded
/// to nearest even at 2^-51 (at least one such step for any error), and added as an integer of 128
/// bits.
struct SquaredSum {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  void merge(const SquaredSum& other) noexcept;
  /// Adds `count` times `term`.
  void add(std::uint64_t term, std::uint64_t count) noexcept;
  /// The sum times unit^2 / 2^51.
  [[nodiscard]] double value(double unit) const noexcept;
  friend bool operator==(const SquaredSum&, const SquaredSum&) = default;
};

/// What quantizing with given parameters costs, over the finite elements that share one scale.
struct QuantizationError {
  std::int64_t count = 0;    ///< Finite elements.
  std::int64_t clipped = 0;  ///< Of them, outside the format's range (fake_quantize's mask).
  SquaredSum rounding;       ///< (x - y)^2 of the others, in units of rounding_unit.
  SquaredSum clipping;       ///< (x - y)^2 of the clipped, in units of amax.
  SquaredSum signal;         ///< x^2, in units of amax.

  /// The errors of both sets of elements. The units must be the same.
  void merge(const QuantizationError& other) noexcept;

  friend bool operator==(const QuantizationError&, const QuantizationError&) = default;
};

/// Unit of QuantizationError::rounding: no rounding error exceeds it. s for integer formats,
/// 32 * s for E4M3, 8192 * s for E5M2; amax where that is less.
double rounding_unit(Format format, double scale, double amax) noexcept;

/// Error of y = fake_quantize(x) in C, y not yet rounded to x's type, one entry for each scale.
/// Shape:  amax has one entry for each scale: the unit of the clipping error, at least the largest
///         finite magnitude of the elements that share it.
/// Order:  as statistics. One read, nothing written but the result.
/// Agrees: bit for bit on every backend, for every cut of the data.
/// @throws InvalidArgument as fake_quantize; for an amax that is negative or not finite.
std::vector<QuantizationError> quantization_error(ConstTensorView x, const QuantParams& params,
                                                  std::span<const double> amax,
                                                  const HostOptions& options = {});

}  // namespace cuqat
