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
#include "check.hpp"
#include "cuqat/device_equalization.hpp"
#include "device/arguments.hpp"
#include "device/equalized_operand.hpp"
#include "device/memory.hpp"

namespace cuqat {
namespace {

/// Of the products of a strength, where that is 64 rows or more.
constexpr std::size_t kProductBytes = std::size_t{64} << 20;

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
        places_(places_of_parts()),
        memory_(places_.memory_bytes, target.operation),
        on_host_(std::max(num_errors() * sizeof(double), places_.answer_bytes), target.operation) {
    x_.place(at(0), answer_at(places_.found_of_x_at), factors(), scratch());
    w_.place(at(0), answer_at(places_.found_of_w_at), factors(), scratch());
  }

  /// Without an equalization, then with each strength. Waits.
  std::vector<double> errors() {
    x_.find_channel_statistics(target_);
    w_.find_channel_statistics(target_);
    gpu::launch_f64_product(x_.matrix(), w_.matrix(), products(), target_);
    auto* const errors = reinterpret_cast<double*>(at(places_.errors_at));
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
    auto* const found = static_cast<std::byte*>(read_back(answer_at(0), places_.answer_bytes));
    Equalization result;
    result.alpha = alpha;
    for (std::int64_t i = 0; i < x_.num_channels(); ++i) {
      result.factor.push_back(detail::compute_number(compute_, found, i));
    }
    result.activation = x_.result(found + places_.found_of_x_at);
    result.weight = w_.result(found + places_.found_of_w_at);
    return result;
  }

 private:
  /// Where what lies in the device memory; behind the factors what the answer has beside them.
  struct Places {
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

  Places places_of_parts() {
    const std::int64_t rows = x_.matrix().rows;
    const std::int64_t outputs = w_.matrix().rows;
    const std::size_t of_row = gpu::output_error_scratch_bytes(outputs, 1);
    const auto rows_at_once = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(kProductBytes / of_row), 64, std::max<std::int64_t>(rows, 64));
    Places places;
    detail::MemoryLayout memory;
    x_.reserve(memory);
    w_.reserve(memory);
    places.products_at = memory.add(static_cast<std::size_t>(Shape{rows, outputs, 8}.count()));
    places.scratch_bytes = std::max({gpu::output_error_scratch_bytes(outputs, rows_at_once),
                                     x_.scratch_bytes(target_), w_.scratch_bytes(target_)});
    places.scratch_at = memory.add(places.scratch_bytes);
    places.errors_at = memory.add(num_errors() * sizeof(double));
    detail::MemoryLayout answer;
    answer.add(static_cast<std::size_t>(x_.num_channels()) * dtype_bytes(compute_));
    places.found_of_x_at = answer.add(x_.found_bytes());
    places.found_of_w_at = answer.add(w_.found_bytes());
    places.answer_bytes = answer.bytes();
    places.answer_at = memory.add(places.answer_bytes);
    places.memory_bytes = memory.bytes();
    return places;
  }

  [[nodiscard]] std::size_t num_errors() const { return 1 + alphas_.size(); }
  [[nodiscard]] std::byte* at(std::size_t offset) const {
    return static_cast<std::byte*>(memory_.data()) + offset;
  }
  [[nodiscard]] std::byte* answer_at(std::size_t offset) const {
    return at(places_.answer_at + offset);
  }
  [[nodiscard]] void* factors() const { return answer_at(0); }
  [[nodiscard]] double* products() const {
    return reinterpret_cast<double*>(at(places_.products_at));
  }
  [[nodiscard]] std::span<std::byte> scratch() const {
    return {at(places_.scratch_at), places_.scratch_bytes};
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

  detail::EqualizedOperand x_;
  detail::EqualizedOperand w_;
  DType compute_;
  std::span<const double> alphas_;
  gpu::LaunchTarget target_;
  Places places_;
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
