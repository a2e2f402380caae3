#include "device/equalized_operand.hpp"

#include <algorithm>
#include <utility>

#include "calibration/equalization.hpp"
#include "device/arguments.hpp"

namespace cuqat::detail {
namespace {

/// Scales that are searched side by side.
constexpr std::int64_t kScalesAtOnce = 128;

}  // namespace

double compute_number(DType compute, const void* numbers, std::int64_t i) {
  return compute == DType::kF64 ? static_cast<const double*>(numbers)[i]
                                : double{static_cast<const float*>(numbers)[i]};
}

EqualizedOperand::EqualizedOperand(ConstDeviceTensorView values, const CalibrationOptions& method,
                                   const Granularity& granularity, bool divides)
    : values_(values),
      method_(method),
      divides_(divides),
      tensor_(unscaled_tensor(values.dtype(), values.shape(), granularity)),
      channels_(unscaled_tensor(values.dtype(), values.shape(), Granularity::channel(1))) {
  tensor_.quantizer = method.quantizer();
}

std::size_t EqualizedOperand::scratch_bytes(const gpu::LaunchTarget& target) const {
  if (!is_searched()) return 0;
  return gpu::scale_calibration_scratch_bytes(calibration(), kScalesAtOnce, target);
}

void EqualizedOperand::place(std::byte* memory, std::byte* found, const void* factors,
                             std::span<std::byte> scratch) {
  copy_ = memory + copy_at_;
  channel_statistics_ = reinterpret_cast<Statistics*>(memory + channel_statistics_at_);
  found_ = {found, tensor_.num_scales};
  scratch_ = scratch;
  channels_.scale = factors;
  tensor_.scale = found_.scale();
  tensor_.zero_point = method_.symmetric ? nullptr : found_.zero_point();
}

gpu::NumberMatrix EqualizedOperand::quantize(bool equalizes,
                                             const gpu::LaunchTarget& target) const {
  const void* const values = calibrate(equalizes, target);
  gpu::launch_fake_quantize(tensor_, values, copy_, nullptr, nullptr, target);
  return matrix_of(copy_);
}

void EqualizedOperand::describe(bool equalizes, const gpu::LaunchTarget& target) const {
  const void* const values = calibrate(equalizes, target);
  gpu::launch_scale_statistics(tensor_, values, found_.statistics(), target);
  gpu::launch_quantization_error(tensor_, values, found_.statistics(), found_.error(), target);
}

CalibrationResult EqualizedOperand::result(std::byte* copy) const {
  const FoundScales found{copy, tensor_.num_scales};
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

DType EqualizedOperand::compute() const { return compute_type(values_.dtype()); }

const void* EqualizedOperand::calibrate(bool equalizes, const gpu::LaunchTarget& target) const {
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

calibration::ScaleAnswer EqualizedOperand::answer_of(const FoundScales& found,
                                                     std::int64_t i) const {
  const Statistics& statistics = found.statistics()[i];
  calibration::ScaleAnswer answer;
  const bool searches_values =
      method_.method == CalibMethod::kMse || method_.method == CalibMethod::kSqnr;
  answer.exact = !searches_values || !calibration::must_search_bins(values_.dtype(), statistics);
  if (statistics.finite() == 0) return answer;
  answer.amax = statistics.amax();
  const Range chosen = answer.amax == 0.0 ? Range{} : found.range()[i];
  answer.range = calibration::widened(chosen, method_.symmetric);
  answer.params.scale = compute_number(compute(), found.scale(), i);
  if (!method_.symmetric) answer.params.zero_point = found.zero_point()[i];
  answer.error = found.error()[i];
  return answer;
}

}  // namespace cuqat::detail
