// Calibration from the data itself.
#include <array>
#include <string>
#include <utility>

#include "calibration/accumulator.hpp"
#include "calibration/methods.hpp"
#include "calibration/parallel.hpp"
#include "calibration/source.hpp"

namespace cuqat {
namespace {

using calibration::Accumulator;
using calibration::DistributionSource;
using calibration::ScaleAnswer;
using calibration::Source;
using calibration::TensorSource;

std::vector<CalibrationResult> calibrate_tensor(std::span<const ConstTensorView> batches,
                                                std::span<const CalibrationOptions> methods,
                                                const HostOptions& options) {
  const DType dtype = batches.front().dtype();
  const auto answer_with = [&](const Source& source) {
    const std::array answers = {calibration::answer(source, methods)};
    return calibration::assemble(methods, Granularity::tensor(), answers);
  };
  if (dtype == DType::kF32 || dtype == DType::kF64) {
    Statistics statistics;
    for (const ConstTensorView& batch : batches)
      statistics.merge(cuqat::statistics(batch, options));
    if (calibration::must_search_bins(dtype, statistics)) {
      return answer_with(TensorSource(batches, statistics, options));
    }
  }
  Accumulator accumulator(dtype, Granularity::tensor());
  for (const ConstTensorView& batch : batches) accumulator.observe(batch, options);
  accumulator.settle();
  return answer_with(DistributionSource(dtype, accumulator.statistics.front(),
                                        accumulator.values.front(), true, options));
}

/// Scales one by one, so that memory is that of one channel or group, times the threads.
std::vector<CalibrationResult> calibrate_scales(std::span<const ConstTensorView> batches,
                                                const Granularity& granularity,
                                                std::span<const CalibrationOptions> methods,
                                                const HostOptions& options) {
  const DType dtype = batches.front().dtype();
  std::vector<std::vector<ScaleAnswer>> answers;
  // Groups follow one another, batch after batch; a channel goes through all batches.
  const bool by_channel = granularity.kind == Granularity::Kind::kChannel;
  const std::size_t num_parts = by_channel ? 1 : batches.size();
  HostOptions serial = options;
  serial.num_threads = 1;
  for (std::size_t part = 0; part < num_parts; ++part) {
    const auto part_batches = by_channel ? batches : batches.subspan(part, 1);
    std::vector<Statistics> statistics =
        cuqat::statistics(part_batches.front(), granularity, options);
    for (const ConstTensorView& batch : part_batches.subspan(1)) {
      const std::vector<Statistics> more = cuqat::statistics(batch, granularity, options);
      for (std::size_t i = 0; i < more.size(); ++i) statistics[i].merge(more[i]);
    }
    const std::size_t first = answers.size();
    answers.resize(first + statistics.size());
    calibration::parallel_for(
        static_cast<std::int64_t>(statistics.size()), options.num_threads, [&](std::int64_t i) {
          calibration::Distribution values;
          for (const ConstTensorView& batch : part_batches) {
            values = calibration::merged(values,
                                         calibration::distribution_of_scale(batch, granularity, i));
          }
          const auto scale = static_cast<std::size_t>(i);
          const DistributionSource source(dtype, statistics[scale], values, true, serial);
          answers[first + scale] = calibration::answer(source, methods);
        });
  }
  return calibration::assemble(methods, granularity, answers);
}

void check_batches(std::span<const ConstTensorView> batches, const Granularity& granularity) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::string name = "batches[" + std::to_string(i) + "]";
    if (batches[i].dtype() != batches[0].dtype()) {
      throw InvalidArgument(name + " has dtype " + std::string(to_string(batches[i].dtype())) +
                            ": batches[0] has " + std::string(to_string(batches[0].dtype())));
    }
    const std::int64_t scales = num_scales(granularity, batches[i].shape());
    if (granularity.kind == Granularity::Kind::kChannel &&
        scales != num_scales(granularity, batches[0].shape())) {
      throw InvalidArgument(name + " has " + std::to_string(scales) + " channels: batches[0] has " +
                            std::to_string(num_scales(granularity, batches[0].shape())));
    }
  }
}

}  // namespace

std::vector<CalibrationResult> calibrate(std::span<const ConstTensorView> batches,
                                         const Granularity& granularity,
                                         std::span<const CalibrationOptions> methods,
                                         const HostOptions& options) {
  for (const CalibrationOptions& method : methods) calibration::check(method);
  check_batches(batches, granularity);
  static const std::array kNothing = {ConstTensorView{}};
  if (batches.empty()) return calibrate_tensor(kNothing, methods, options);
  if (granularity.kind == Granularity::Kind::kTensor) {
    return calibrate_tensor(batches, methods, options);
  }
  return calibrate_scales(batches, granularity, methods, options);
}

CalibrationResult calibrate_layer(std::span<const ConstTensorView> layer_outputs,
                                  const CalibrationOptions& method, const Granularity& granularity,
                                  const HostOptions& options) {
  return std::move(calibrate(layer_outputs, granularity, std::span(&method, 1), options).front());
}

std::vector<QuantizationSpec> calibrate_model(std::span<const LayerActivations> layers,
                                              const CalibrationOptions& method,
                                              const Granularity& granularity,
                                              const HostOptions& options) {
  std::vector<QuantizationSpec> specs;
  specs.reserve(layers.size());
  for (const LayerActivations& layer : layers) {
    specs.push_back({layer.name, calibrate_layer(layer.batches, method, granularity, options)});
  }
  return specs;
}

}  // namespace cuqat
