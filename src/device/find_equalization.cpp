// The search for the strength of an equalization, on the device. The host waits for the errors of
// all strengths, and once more for what the best one gives.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "calibration/equalization.hpp"
#include "calibration/methods.hpp"
#include "check.hpp"
#include "cuqat/device_equalization.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"

namespace cuqat {
namespace {

/// Scales of w that are searched side by side.
constexpr std::int64_t kScalesAtOnce = 128;
/// Of the products of a strength, where that is 64 rows or more.
constexpr std::size_t kProductBytes = std::size_t{64} << 20;

/// Parts of one piece of memory, each where cudaMalloc would begin.
class MemoryPlan {
 public:
  /// Where the part begins.
  std::size_t add(std::size_t bytes) {
    const std::size_t begin = bytes_;
    bytes_ += (bytes + 255) / 256 * 256;
    return begin;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

/// What the device finds for the scales of a tensor, in device memory or as a copy on the host.
struct Found {
  std::byte* memory;
  std::int64_t num_scales;

  static constexpr std::size_t kBytesOfScale = sizeof(Statistics) + sizeof(QuantizationError) +
                                               sizeof(Range) + sizeof(double) +
                                               sizeof(std::int32_t);

  [[nodiscard]] Statistics* statistics() const { return reinterpret_cast<Statistics*>(memory); }
  [[nodiscard]] QuantizationError* error() const {
    return reinterpret_cast<QuantizationError*>(statistics() + num_scales);
  }
  [[nodiscard]] Range* range() const { return reinterpret_cast<Range*>(error() + num_scales); }
  /// Of the compute type, which may be narrower than its place.
  [[nodiscard]] void* scale() const { return range() + num_scales; }
  [[nodiscard]] std::int32_t* zero_point() const {
    return reinterpret_cast<std::int32_t*>(static_cast<double*>(scale()) + num_scales);
  }
};

/// Number i of numbers of a compute type.
double number(DType compute, const void* numbers, std::int64_t i) {
  return compute == DType::kF64 ? static_cast<const double*>(numbers)[i]
                                : double{static_cast<const float*>(numbers)[i]};
}

/// x or w: equalized, calibrated and quantized.
class Operand {
 public:
  /// Divided by the factors, or multiplied.
  Operand(ConstDeviceTensorView values, const CalibrationOptions& method,
          const Granularity& granularity, bool divides)
      : values_(values),
        method_(method),
        divides_(divides),
        tensor_(detail::unscaled_tensor(values.dtype(), values.shape(), granularity)),
        channels_(
            detail::unscaled_tensor(values.dtype(), values.shape(), Granularity::channel(1))) {
    tensor_.quantizer = calibration::quantizer_of(method);
  }

  void plan(MemoryPlan& plan) {
    copy_at_ = plan.add(values_.size_bytes());
    channel_statistics_at_ =
        plan.add(static_cast<std::size_t>(channels_.num_scales) * sizeof(Statistics));
  }
  [[nodiscard]] std::size_t found_bytes() const {
    return static_cast<std::size_t>(tensor_.num_scales) * Found::kBytesOfScale;
  }
  [[nodiscard]] std::size_t scratch_bytes(const gpu::LaunchTarget& target) const {
    if (!is_searched()) return 0;
    return gpu::scale_calibration_scratch_bytes(calibration(), kScalesAtOnce, target);
  }

  void place(std::byte* memory, std::byte* found, const void* factors,
             std::span<std::byte> scratch) {
    copy_ = memory + copy_at_;
    channel_statistics_ = reinterpret_cast<Statistics*>(memory + channel_statistics_at_);
    found_ = {found, tensor_.num_scales};
    scratch_ = scratch;
    channels_.scale = factors;
    tensor_.scale = found_.scale();
    tensor_.zero_point = method_.symmetric ? nullptr : found_.zero_point();
  }

  [[nodiscard]] std::int64_t num_channels() const noexcept { return channels_.num_scales; }
  [[nodiscard]] const Statistics* channel_statistics() const noexcept {
    return channel_statistics_;
  }
  void find_channel_statistics(const gpu::LaunchTarget& target) const {
    gpu::launch_scale_statistics(channels_, values_.data(), channel_statistics_, target);
  }

  [[nodiscard]] gpu::NumberMatrix matrix() const { return matrix_of(values_.data()); }
  /// With the channels scaled, if that is wanted, calibrated and fake-quantized.
  gpu::NumberMatrix quantize(bool equalizes, const gpu::LaunchTarget& target) const {
    const void* const values = calibrate(equalizes, target);
    gpu::launch_fake_quantize(tensor_, values, copy_, nullptr, nullptr, target);
    return matrix_of(copy_);
  }
  /// What the host makes a CalibrationResult of.
  void describe(bool equalizes, const gpu::LaunchTarget& target) const {
    const void* const values = calibrate(equalizes, target);
    gpu::launch_scale_statistics(tensor_, values, found_.statistics(), target);
    gpu::launch_quantization_error(tensor_, values, found_.statistics(), found_.error(), target);
  }

  /// `copy` is on the host, of what describe() has left.
  [[nodiscard]] CalibrationResult result(std::byte* copy) const {
    const Found found{copy, tensor_.num_scales};
    double largest_amax = 0.0;
    for (std::int64_t i = 0; i < found.num_scales; ++i) {
      largest_amax = std::max(largest_amax, found.statistics()[i].amax());
    }
    calibration::Assembly assembly(std::span(&method_, 1), tensor_.granularity, largest_amax);
    for (std::int64_t i = 0; i < found.num_scales; ++i) {
      const calibration::ScaleAnswer answer = answer_of(found, i);
      assembly.add(std::span(&answer, 1));
    }
    return std::move(assembly.finish().front());
  }

 private:
  [[nodiscard]] DType compute() const { return detail::compute_type(values_.dtype()); }
  [[nodiscard]] bool is_searched() const {
    return method_.method != CalibMethod::kMinMax && tensor_.num_scales > 0;
  }
  [[nodiscard]] gpu::ScaleCalibration calibration() const {
    return {tensor_, method_, tensor_.quantizer};
  }
  [[nodiscard]] gpu::NumberMatrix matrix_of(const void* data) const {
    return {data, values_.dtype(), values_.shape()[0], values_.shape()[1]};
  }

  /// Gives what has been calibrated.
  const void* calibrate(bool equalizes, const gpu::LaunchTarget& target) const {
    const void* values = values_.data();
    if (equalizes) {
      gpu::launch_scale_elements(channels_, values, copy_, divides_, target);
      values = copy_;
    }
    const gpu::ScaleOutput output{found_.scale(), method_.symmetric ? nullptr : found_.zero_point(),
                                  found_.range()};
    if (is_searched()) {
      gpu::launch_scale_calibration(calibration(), values, output, scratch_.data(), scratch_.size(),
                                    target);
    } else {
      gpu::launch_scale_statistics(tensor_, values, found_.statistics(), target);
      gpu::launch_minmax_scales(compute(), tensor_.num_scales, found_.statistics(),
                                {tensor_.quantizer, method_.symmetric}, output, target);
    }
    return values;
  }

  /// As calibration::answer has it.
  [[nodiscard]] calibration::ScaleAnswer answer_of(const Found& found, std::int64_t i) const {
    const Statistics& statistics = found.statistics()[i];
    calibration::ScaleAnswer answer;
    const bool searches_values =
        method_.method == CalibMethod::kMse || method_.method == CalibMethod::kSqnr;
    answer.exact = !searches_values || !calibration::must_search_bins(values_.dtype(), statistics);
    if (statistics.finite() == 0) return answer;
    answer.amax = statistics.amax();
    const Range chosen = answer.amax == 0.0 ? Range{} : found.range()[i];
    answer.range = calibration::widened(chosen, method_.symmetric);
    answer.params.scale = number(compute(), found.scale(), i);
    if (!method_.symmetric) answer.params.zero_point = found.zero_point()[i];
    answer.error = found.error()[i];
    return answer;
  }

  ConstDeviceTensorView values_;
  const CalibrationOptions& method_;
  bool divides_;
  gpu::DeviceScaledTensor tensor_;    ///< With the scales of its quantization.
  gpu::DeviceScaledTensor channels_;  ///< With the factors.
  std::size_t copy_at_ = 0;
  std::size_t channel_statistics_at_ = 0;
  std::byte* copy_ = nullptr;
  Statistics* channel_statistics_ = nullptr;
  Found found_{};
  std::span<std::byte> scratch_;
};

/// The work on the device, and its memory.
class Search {
 public:
  Search(ConstDeviceTensorView x, ConstDeviceTensorView w, const EqualizationOptions& options,
         std::span<const double> alphas, const gpu::LaunchTarget& target)
      : x_(x, options.activation, Granularity::tensor(), true),
        w_(w, options.weight, Granularity::channel(0), false),
        compute_(detail::compute_type(x.dtype())),
        alphas_(alphas),
        target_(target),
        plan_(make_plan()),
        memory_(plan_.memory_bytes, target.operation),
        on_host_(std::max(num_errors() * sizeof(double), plan_.answer_bytes), target.operation) {
    x_.place(at(0), answer_at(plan_.found_of_x_at), factors(), scratch());
    w_.place(at(0), answer_at(plan_.found_of_w_at), factors(), scratch());
  }

  /// Without an equalization, then with each strength. Waits.
  std::vector<double> errors() {
    x_.find_channel_statistics(target_);
    w_.find_channel_statistics(target_);
    gpu::launch_f64_product(x_.matrix(), w_.matrix(), products(), target_);
    auto* const errors = reinterpret_cast<double*>(at(plan_.errors_at));
    compare(false, errors);
    for (std::size_t i = 0; i < alphas_.size(); ++i) {
      find_factors(alphas_[i]);
      compare(true, errors + 1 + i);
    }
    const auto* const found =
        static_cast<const double*>(read_back(errors, num_errors() * sizeof(double)));
    return {found, found + num_errors()};
  }

  /// All but the errors. Waits.
  Equalization answer(double alpha) {
    find_factors(alpha);
    x_.describe(true, target_);
    w_.describe(true, target_);
    auto* const found = static_cast<std::byte*>(read_back(answer_at(0), plan_.answer_bytes));
    Equalization result;
    result.alpha = alpha;
    for (std::int64_t i = 0; i < x_.num_channels(); ++i) {
      result.factor.push_back(number(compute_, found, i));
    }
    result.activation = x_.result(found + plan_.found_of_x_at);
    result.weight = w_.result(found + plan_.found_of_w_at);
    return result;
  }

 private:
  /// Where what lies in the device memory; behind the factors what the answer has beside them.
  struct Plan {
    std::size_t products_at = 0;
    std::size_t scratch_at = 0;
    std::size_t scratch_bytes = 0;
    std::size_t errors_at = 0;
    std::size_t answer_at = 0;
    std::size_t found_of_x_at = 0;  ///< From there.
    std::size_t found_of_w_at = 0;
    std::size_t answer_bytes = 0;
    std::size_t memory_bytes = 0;
  };

  Plan make_plan() {
    const std::int64_t rows = x_.matrix().rows;
    const std::int64_t outputs = w_.matrix().rows;
    const std::size_t of_row = gpu::output_error_scratch_bytes(outputs, 1);
    const auto rows_at_once = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(kProductBytes / of_row), 64, std::max<std::int64_t>(rows, 64));
    Plan plan;
    MemoryPlan memory;
    x_.plan(memory);
    w_.plan(memory);
    plan.products_at = memory.add(static_cast<std::size_t>(Shape{rows, outputs, 8}.count()));
    plan.scratch_bytes = std::max({gpu::output_error_scratch_bytes(outputs, rows_at_once),
                                   x_.scratch_bytes(target_), w_.scratch_bytes(target_)});
    plan.scratch_at = memory.add(plan.scratch_bytes);
    plan.errors_at = memory.add(num_errors() * sizeof(double));
    MemoryPlan answer;
    answer.add(static_cast<std::size_t>(x_.num_channels()) * dtype_bytes(compute_));
    plan.found_of_x_at = answer.add(x_.found_bytes());
    plan.found_of_w_at = answer.add(w_.found_bytes());
    plan.answer_bytes = answer.bytes();
    plan.answer_at = memory.add(plan.answer_bytes);
    plan.memory_bytes = memory.bytes();
    return plan;
  }

  [[nodiscard]] std::size_t num_errors() const { return 1 + alphas_.size(); }
  [[nodiscard]] std::byte* at(std::size_t offset) const {
    return static_cast<std::byte*>(memory_.data()) + offset;
  }
  [[nodiscard]] std::byte* answer_at(std::size_t offset) const {
    return at(plan_.answer_at + offset);
  }
  [[nodiscard]] void* factors() const { return answer_at(0); }
  [[nodiscard]] double* products() const {
    return reinterpret_cast<double*>(at(plan_.products_at));
  }
  [[nodiscard]] std::span<std::byte> scratch() const {
    return {at(plan_.scratch_at), plan_.scratch_bytes};
  }

  void find_factors(double alpha) const {
    gpu::launch_equalization_factors(compute_, x_.num_channels(), x_.channel_statistics(),
                                     w_.channel_statistics(), alpha, factors(), target_);
  }
  void compare(bool equalizes, double* error) const {
    const gpu::NumberMatrix xq = x_.quantize(equalizes, target_);
    const gpu::NumberMatrix wq = w_.quantize(equalizes, target_);
    gpu::launch_output_error({x_.matrix(), w_.matrix(), xq, wq, products()}, error,
                             scratch().data(), scratch().size(), target_);
  }
  void* read_back(const void* from, std::size_t bytes) const {
    gpu::check(
        cudaMemcpyAsync(on_host_.data(), from, bytes, cudaMemcpyDeviceToHost, target_.stream),
        "cudaMemcpyAsync", target_.operation);
    gpu::check(cudaStreamSynchronize(target_.stream), "cudaStreamSynchronize", target_.operation);
    return on_host_.data();
  }

  Operand x_;
  Operand w_;
  DType compute_;
  std::span<const double> alphas_;
  gpu::LaunchTarget target_;
  Plan plan_;
  detail::DeviceMemory memory_;
  detail::PinnedMemory on_host_;
};

/// Options that the device answers for tensors of this dtype.
void check_method(const CalibrationOptions& method, DType dtype) {
  detail::check_calibration(method);
  if (method.method != CalibMethod::kMinMax) detail::check_calibrated_dtype("x.dtype()", dtype);
}

}  // namespace

Equalization find_equalization(ConstDeviceTensorView x, ConstDeviceTensorView w,
                               const EqualizationOptions& options, const DeviceContext& context,
                               StreamRef stream) {
  detail::check_device_view("x", x, context);
  detail::check_device_view("w", w, context);
  calibration::check_equalized(detail::as_plain(x), detail::as_plain(w));
  check_method(options.activation, x.dtype());
  check_method(options.weight, x.dtype());
  const std::vector<double> alphas = calibration::equalization_alphas(options);
  Search search(x, w, options, alphas, context.state().target(stream));
  const std::vector<double> errors = search.errors();
  const auto best = std::min_element(errors.begin() + 1, errors.end(), calibration::is_less_error);
  Equalization result = search.answer(alphas[static_cast<std::size_t>(best - errors.begin()) - 1]);
  result.output_error = *best;
  result.unequalized_error = errors.front();
  return result;
}

}  // namespace cuqat
