// Calibration: from observed tensors to scales and zero points, by any method.
//
// A collector keeps the exact distribution of what it has observed, so that every method can be
// answered later, collectors can be merged, and neither the cut of the data into batches nor their
// order, nor the number of threads, changes a bit of any answer. docs/calibration.md defines the
// methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// How the range is chosen.
enum class CalibMethod : std::uint8_t {
  kMinMax,      ///< The extremes.
  kPercentile,  ///< An order statistic of |x| (symmetric), two of x (affine).
  kEntropy,     ///< Least Kullback-Leibler divergence over a histogram, in a dialect.
  kMse,         ///< Least squared quantization error.
  kSqnr         ///< Least of squared rounding error + 3 x squared clipping error (AIMET's rule).
};

/// Which published rule kEntropy follows; they differ in more than details.
enum class EntropyDialect : std::uint8_t {
  kModelopt,     ///< NVIDIA modelopt and pytorch-quantization: 2048 bins of |x|.
  kOnnxRuntime,  ///< ONNX Runtime: 2048 bins of x, smoothed.
  kOriginal      ///< cuqat::original's, which is always min + (max - min) / 2. For comparison.
};

/// "minmax", "percentile", "entropy", "mse", "sqnr".
std::string_view to_string(CalibMethod method) noexcept;
/// "modelopt", "onnxruntime", "original".
std::string_view to_string(EntropyDialect dialect) noexcept;

/// What is asked of a calibration.
struct CalibrationOptions {
  CalibMethod method = CalibMethod::kMinMax;
  double percentile = 99.99;                           ///< kPercentile: in [0, 100].
  EntropyDialect dialect = EntropyDialect::kModelopt;  ///< kEntropy.
  Format format = Format::kInt8;
  Rounding rounding = Rounding::kNearestEven;
  /// Symmetric: zero point 0 and a narrow code range. Affine needs an integer format.
  bool symmetric = true;

  /// What the answers are for; of symmetric integers with a narrow code range.
  [[nodiscard]] constexpr Quantizer quantizer() const noexcept {
    return {format, rounding, symmetric && is_integer(format), true};
  }
};

/// One method's answer and what it costs on the observed data.
struct CalibrationResult {
  CalibrationOptions options;
  QuantParams params;        ///< Ready for quantize and fake_quantize.
  std::vector<double> low;   ///< Lower end of the chosen range, one for each scale.
  std::vector<double> high;  ///< Upper end.
  /// True where the range is what the method gives on the data itself and the costs are those of
  /// the data; false where values were binned for the search (kMse and kSqnr of many f32 or f64
  /// elements; the costs are exact then) or coarsened by a collector. docs/calibration.md has the
  /// table.
  bool exact = true;
  double clipped = 0.0;  ///< Share of the finite elements that is clipped.
  /// Mean squared error of the finite elements, before results are rounded to bf16 or f16; may
  /// leave f64 for f64 data.
  double mse = 0.0;
  double sqnr_db = 0.0;  ///< 10 log10(signal / error); +infinity where the error is 0.
};

/// A scale and a zero point.
struct ScaleZeroPoint {
  double scale = 1.0;
  std::int32_t zero_point = 0;
  friend constexpr bool operator==(ScaleZeroPoint, ScaleZeroPoint) = default;
};

/// Scale and zero point of a range, computed in the compute type of `dtype`.
/// Symmetric: amax = max(|low|, |high|), scale = amax / qmax, zero point 0. Affine: the range is
/// widened to contain 0, scale = (high - low) / (qmax - qmin), zero point = clamp(rint(qmin -
/// low / scale)). A scale is never below the smallest normal number; an all-zero range gives 1, 0.
/// @throws InvalidArgument for a range that is not finite in the compute type or has low > high,
///         affine FP8.
ScaleZeroPoint range_to_scale(Range range, const Quantizer& quantizer, bool symmetric, DType dtype);

/// Of up to so many f32 or f64 elements of a scale kMse and kSqnr search the values themselves, of
/// more elements bins.
inline constexpr std::int64_t kMaxSearchedElements = 65'536;

/// Calibrates the concatenation of `batches` by every method asked, from the data itself.
/// Shape:  batches of one dtype; for channels of one channel count, for groups any rank above 0.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done. f32
///         and f64 tensors of more than 65 536 elements are read several times, never copied.
/// Agrees: bit for bit on every backend, for every cut of the data and number of threads.
/// @throws InvalidArgument for mixed dtypes or channel counts, options that do not fit together.
std::vector<CalibrationResult> calibrate(std::span<const ConstTensorView> batches,
                                         const Granularity& granularity,
                                         std::span<const CalibrationOptions> methods,
                                         const HostOptions& options = {});

/// Distinct values that a collector keeps exactly, in all its channels together, for f32 and f64.
inline constexpr std::size_t kMaxExactValues = std::size_t{1} << 20;

/// Observes batches of a tensor and answers with any method afterwards.
///
/// bf16 and f16 are always exact. f32 and f64 are exact up to kMaxExactValues distinct values; past
/// them the values are coarsened to their leading bits (8 of an f32's significand), extremes,
/// counts and statistics staying exact, and results say exact = false. Whether that happens depends
/// on the observed values alone, not on how they came.
///
/// One thread at a time, also to read: a collector puts off work until it is asked. Separate
/// collectors are independent.
class CalibrationCollector {
 public:
  /// For tensors of this dtype. Granularity: tensor or channel (a group has no meaning across
  /// batches: calibrate it from the data).
  /// @throws InvalidArgument for a group granularity.
  explicit CalibrationCollector(DType dtype, const Granularity& granularity = {});
  ~CalibrationCollector();
  CalibrationCollector(CalibrationCollector&&) noexcept;
  CalibrationCollector& operator=(CalibrationCollector&&) noexcept;
  CalibrationCollector(const CalibrationCollector&);
  CalibrationCollector& operator=(const CalibrationCollector&);

  /// A collector that has observed what a key histogram counts. Its shape is [elements], or the one
  /// given, which must have as many.
  /// @throws InvalidArgument for f32 and f64, of which a key is not the whole number, for more than
  ///         2^63 - 1 elements, and for a shape of another number.
  static CalibrationCollector of_key_histogram(DType dtype,
                                               std::span<const std::uint64_t, kNumKeys> counts);
  static CalibrationCollector of_key_histogram(DType dtype,
                                               std::span<const std::uint64_t, kNumKeys> counts,
                                               const Shape& shape);

  /// A collector of f32 that has observed what a key histogram counts, and more than
  /// kMaxExactValues values: they are coarsened. Its shape is [elements].
  /// @throws InvalidArgument for statistics that cannot be those of what is counted.
  static CalibrationCollector of_f32_key_histogram(std::span<const std::uint64_t, kNumKeys> counts,
                                                   const Statistics& statistics);

  /// Adds every element of the batch.
  /// @throws InvalidArgument for another dtype, or another number of channels than before. The
  ///         collector is then as it was.
  void observe(ConstTensorView batch, const HostOptions& options = {});

  /// Adds everything that another collector has observed. Associative and commutative.
  /// @throws InvalidArgument where dtype, granularity or channel count differ.
  void merge(const CalibrationCollector& other);

  [[nodiscard]] DType dtype() const noexcept;
  [[nodiscard]] const Granularity& granularity() const noexcept;
  /// Number of scales; 1 for a tensor, 0 for channels before the first batch.
  [[nodiscard]] std::int64_t num_scales() const noexcept;
  /// Of everything observed, all channels together.
  [[nodiscard]] Statistics statistics() const noexcept;
  /// False once f32 or f64 values had to be coarsened.
  [[nodiscard]] bool exact() const;
  /// Everything observed in equal bins over the largest magnitude, all channels together, as
  /// accumulate_linear_histogram counts them with amax = statistics().amax(); zeros where that is
  /// 0.
  /// @throws InvalidArgument for a count of bins as there.
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const;
  /// Extents of everything observed, batches concatenated along the first axis; [count] where the
  /// other extents differ between batches. Empty of a scalar, and before the first batch.
  [[nodiscard]] std::span<const std::int64_t> shape() const noexcept;

  /// Answers with one method. A scale without a finite element is 1, its zero point 0; before the
  /// first batch a channel granularity has no scales.
  /// @throws InvalidArgument for options that do not fit together.
  [[nodiscard]] CalibrationResult compute(const CalibrationOptions& method,
                                          const HostOptions& options = {}) const;
  [[nodiscard]] std::vector<CalibrationResult> compute(std::span<const CalibrationOptions> methods,
                                                       const HostOptions& options = {}) const;

  /// Everything observed as bytes: versioned, checksummed, the same for the same observations
  /// whatever their order.
  [[nodiscard]] std::vector<std::byte> save() const;
  /// @throws DataError for damaged bytes or another version.
  static CalibrationCollector load(std::span<const std::byte> state);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Exponential moving average of batch extremes: low += momentum * (batch low - low). The first
/// batch with a finite element is taken as it is; batches without one change nothing. The answer
/// depends on the order of the batches, by definition. Computed in f64; low never exceeds high.
class MovingAverageMinMax {
 public:
  /// @throws InvalidArgument for a momentum outside (0, 1].
  explicit MovingAverageMinMax(double momentum = 0.01);
  void observe(ConstTensorView batch, const HostOptions& options = {});
  void observe(const Statistics& batch);
  /// [0, 0] before the first batch.
  [[nodiscard]] Range range() const noexcept { return range_; }

 private:
  double momentum_;
  bool started_ = false;
  Range range_;
};

/// Delayed scaling (FP8 training): the scale of the next step is taken from the largest magnitude
/// of the last `length` steps.
class AmaxHistory {
 public:
  /// @throws InvalidArgument for a length below 1.
  explicit AmaxHistory(std::int64_t length = 16);
  void observe(ConstTensorView batch, const HostOptions& options = {});
  /// @throws InvalidArgument for an amax that is negative or not finite.
  void push(double amax);
  /// The largest of the last `length`; 0 before the first.
  [[nodiscard]] double amax() const noexcept;
  /// amax() * 2^margin / qmax(quantizer), as range_to_scale computes it.
  /// @throws InvalidArgument where amax() * 2^margin is not finite in the dtype's compute type.
  [[nodiscard]] double scale(const Quantizer& quantizer, DType dtype, int margin = 0) const;

 private:
  std::int64_t length_;
  std::deque<double> history_;
};

/// A layer's calibration.
struct QuantizationSpec {
  std::string layer_name;
  CalibrationResult result;
};

/// Calibrates the outputs of one layer, batch by batch.
/// @throws as calibrate.
CalibrationResult calibrate_layer(std::span<const ConstTensorView> layer_outputs,
                                  const CalibrationOptions& method,
                                  const Granularity& granularity = {},
                                  const HostOptions& options = {});

/// Batches of one named layer.
struct LayerActivations {
  std::string name;
  std::vector<ConstTensorView> batches;
};

/// Calibrates every layer of a model, in the order given.
/// @throws as calibrate.
std::vector<QuantizationSpec> calibrate_model(std::span<const LayerActivations> layers,
                                              const CalibrationOptions& method,
                                              const Granularity& granularity = {},
                                              const HostOptions& options = {});

}  // namespace cuqat
