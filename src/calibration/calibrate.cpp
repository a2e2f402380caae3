// Calibration from the data itself.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include "calibration/accumulator.hpp"
#include "calibration/methods.hpp"
#include "calibration/parallel.hpp"
#include "calibration/runs.hpp"
#include "calibration/source.hpp"

namespace cuqat {
namespace {

using calibration::Accumulator;
using calibration::answer;
using calibration::Assembly;
using calibration::distribution_of_scale;
using calibration::DistributionSource;
using calibration::for_each_run;
using calibration::must_search_bins;
using calibration::ScaleAnswer;
using calibration::slice;
using calibration::Source;
using calibration::TensorSource;

std::vector<CalibrationResult> calibrate_tensor(std::span<const ConstTensorView> batches,
                                                std::span<const CalibrationOptions> methods,
                                                const HostOptions& options) {
  const DType dtype = batches.front().dtype();
  const auto answer_with = [&](const Source& source) {
    Assembly assembly(methods, Granularity::tensor(), source.statistics().amax());
    assembly.add(answer(source, methods));
    return assembly.finish();
  };
  if (dtype == DType::kF32 || dtype == DType::kF64) {
    Statistics statistics;
    for (const ConstTensorView& batch : batches)
      statistics.merge(cuqat::statistics(batch, options));
    if (must_search_bins(dtype, statistics)) {
      return answer_with(TensorSource(batches, statistics, options));
    }
  }
  Accumulator accumulator(dtype, Granularity::tensor());
  for (const ConstTensorView& batch : batches) accumulator.observe(batch, options);
  accumulator.settle();
  return answer_with(DistributionSource(dtype, accumulator.statistics.front(),
                                        accumulator.values.front(), true, options));
}

/// The elements of one scale as tensors: where they lie if they do so in one run, else copied.
class ScaleElements {
 public:
  ScaleElements(std::span<const ConstTensorView> batches, const Granularity& granularity,
                std::int64_t scale) {
    for (const ConstTensorView& batch : batches) add(batch, granularity, scale);
  }

  [[nodiscard]] std::span<const ConstTensorView> views() const { return views_; }

 private:
  void add(ConstTensorView batch, const Granularity& granularity, std::int64_t scale) {
    std::vector<ConstTensorView> first;
    std::size_t num_runs = 0;
    std::size_t num_bytes = 0;
    const auto for_each_slice = [&](auto visit) {
      for_each_run(batch.shape(), granularity, scale, [&](std::int64_t begin, std::int64_t count) {
        visit(slice(batch, begin, count));
      });
    };
    for_each_slice([&](ConstTensorView run) {
      if (num_runs++ == 0) first.push_back(run);
      num_bytes += run.size_bytes();
    });
    if (num_runs == 1) views_.push_back(first.front());
    if (num_runs <= 1) return;
    std::vector<std::byte>& copy = copies_.emplace_back();
    copy.reserve(num_bytes);
    for_each_slice([&](ConstTensorView run) {
      const auto* bytes = static_cast<const std::byte*>(run.data());
      copy.insert(copy.end(), bytes, bytes + run.size_bytes());
    });
    const auto count = static_cast<std::int64_t>(num_bytes / dtype_bytes(batch.dtype()));
    views_.emplace_back(copy.data(), batch.dtype(), Shape{count});
  }

  std::vector<std::vector<std::byte>> copies_;
  std::vector<ConstTensorView> views_;
};

/// The scales of some batches, in blocks, so that memory does not grow with their number beyond
/// what the results take. Large f32 and f64 scales are not sorted but read again, one at a time.
void answer_scales(std::span<const ConstTensorView> batches, const Granularity& granularity,
                   std::span<const Statistics> statistics,
                   std::span<const CalibrationOptions> methods, const HostOptions& options,
                   Assembly& assembly) {
  constexpr std::int64_t kBlock = 1024;
  const DType dtype = batches.front().dtype();
  const auto num_scales = static_cast<std::int64_t>(statistics.size());
  HostOptions serial = options;
  serial.num_threads = 1;
  for (std::int64_t first = 0; first < num_scales; first += kBlock) {
    const std::int64_t size = std::min(kBlock, num_scales - first);
    std::vector<std::vector<ScaleAnswer>> answers(static_cast<std::size_t>(size));
    const auto of = [&](std::int64_t i) -> const Statistics& {
      return statistics[static_cast<std::size_t>(first + i)];
    };
    calibration::parallel_for(size, options, [&](std::int64_t i) {
      if (must_search_bins(dtype, of(i))) return;
      calibration::Distribution values;
      for (const ConstTensorView& batch : batches) {
        values = merged(values, distribution_of_scale(batch, granularity, first + i));
      }
      answers[static_cast<std::size_t>(i)] =
          answer(DistributionSource(dtype, of(i), values, true, serial), methods);
    });
    for (std::int64_t i = 0; i < size; ++i) {
      if (!must_search_bins(dtype, of(i))) continue;
      const ScaleElements elements(batches, granularity, first + i);
      answers[static_cast<std::size_t>(i)] =
          answer(TensorSource(elements.views(), of(i), options), methods);
    }
    for (const std::vector<ScaleAnswer>& of_scale : answers) assembly.add(of_scale);
  }
}

std::vector<CalibrationResult> calibrate_scales(std::span<const ConstTensorView> batches,
                                                const Granularity& granularity,
                                                std::span<const CalibrationOptions> methods,
                                                const HostOptions& options) {
  // Groups follow one another, batch after batch; a channel goes through all batches.
  const bool by_channel = granularity.kind == Granularity::Kind::kChannel;
  std::vector<std::vector<Statistics>> parts;
  for (const ConstTensorView& batch : batches) {
    std::vector<Statistics> part = statistics(batch, granularity, options);
    if (!by_channel || parts.empty()) {
      parts.push_back(std::move(part));
    } else {
      for (std::size_t i = 0; i < part.size(); ++i) parts.front()[i].merge(part[i]);
    }
  }
  double largest_amax = 0.0;
  for (const std::vector<Statistics>& part : parts) {
    for (const Statistics& scale : part) largest_amax = std::max(largest_amax, scale.amax());
  }
  Assembly assembly(methods, granularity, largest_amax);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    answer_scales(by_channel ? batches : batches.subspan(i, 1), granularity, parts[i], methods,
                  options, assembly);
  }
  return assembly.finish();
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
