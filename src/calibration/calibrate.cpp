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
using calibration::ScatteredSource;
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

/// Elements that ScaleElements copies.
std::int64_t elements_to_copy(std::span<const ConstTensorView> batches,
                              const Granularity& granularity, std::int64_t scale) {
  std::int64_t copied = 0;
  for (const ConstTensorView& batch : batches) {
    std::int64_t num_runs = 0;
    std::int64_t count = 0;
    for_each_run(batch.shape(), granularity, scale, [&](std::int64_t, std::int64_t length) {
      ++num_runs;
      count += length;
    });
    if (num_runs > 1) copied += count;
  }
  return copied;
}

/// One scale of more f32 or f64 elements than are sorted: read again for each answer, where they
/// lie or from a copy, or gathered piece by piece where they are scattered and too many to copy.
std::vector<ScaleAnswer> answer_large_scale(std::span<const ConstTensorView> batches,
                                            const Granularity& granularity, std::int64_t scale,
                                            const Statistics& statistics,
                                            std::span<const CalibrationOptions> methods,
                                            const HostOptions& options) {
  constexpr std::int64_t kMaxCopiedBytes = std::int64_t{16} << 20;
  const auto element_bytes = static_cast<std::int64_t>(dtype_bytes(batches.front().dtype()));
  if (elements_to_copy(batches, granularity, scale) > kMaxCopiedBytes / element_bytes) {
    return answer(ScatteredSource(batches, granularity, scale, statistics, options), methods);
  }
  const ScaleElements elements(batches, granularity, scale);
  return answer(TensorSource(elements.views(), statistics, options), methods);
}

/// The scales of some batches, in blocks, so that memory does not grow with their number beyond
/// what the results take.
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
      answers[static_cast<std::size_t>(i)] =
          answer_large_scale(batches, granularity, first + i, of(i), methods, options);
    }
    for (const std::vector<ScaleAnswer>& of_scale : answers) assembly.add(of_scale);
  }
}

std::vector<CalibrationResult> calibrate_channels(std::span<const ConstTensorView> batches,
                                                  const Granularity& granularity,
                                                  std::span<const CalibrationOptions> methods,
                                                  const HostOptions& options) {
  std::vector<Statistics> all = statistics(batches.front(), granularity, options);
  for (const ConstTensorView& batch : batches.subspan(1)) {
    const std::vector<Statistics> part = statistics(batch, granularity, options);
    for (std::size_t i = 0; i < part.size(); ++i) all[i].merge(part[i]);
  }
  double largest_amax = 0.0;
  for (const Statistics& channel : all) largest_amax = std::max(largest_amax, channel.amax());
  Assembly assembly(methods, granularity, largest_amax);
  answer_scales(batches, granularity, all, methods, options, assembly);
  return assembly.finish();
}

/// Groups follow one another, row after row and batch after batch.
std::vector<CalibrationResult> calibrate_groups(std::span<const ConstTensorView> batches,
                                                const Granularity& granularity,
                                                std::span<const CalibrationOptions> methods,
                                                const HostOptions& options) {
  constexpr std::int64_t kMaxGroups = 65'536;  // whose statistics are in memory at a time
  double largest_amax = 0.0;
  for (const ConstTensorView& batch : batches) {
    largest_amax = std::max(largest_amax, statistics(batch, options).amax());
  }
  Assembly assembly(methods, granularity, largest_amax);
  for (const ConstTensorView& batch : batches) {
    if (batch.count() == 0) continue;
    const std::int64_t row_length = batch.shape()[batch.shape().rank() - 1];
    const std::int64_t num_rows = batch.count() / row_length;
    const std::int64_t groups_a_row = num_scales(granularity, Shape{row_length});
    const std::int64_t block = std::max<std::int64_t>(1, kMaxGroups / groups_a_row);
    for (std::int64_t row = 0; row < num_rows; row += block) {
      const std::int64_t rows = std::min(block, num_rows - row);
      const ConstTensorView part = slice(batch, row * row_length, rows * row_length);
      const ConstTensorView some_rows(part.data(), part.dtype(), Shape{rows, row_length});
      answer_scales(std::span(&some_rows, 1), granularity,
                    statistics(some_rows, granularity, options), methods, options, assembly);
    }
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
  if (granularity.kind == Granularity::Kind::kChannel) {
    return calibrate_channels(batches, granularity, methods, options);
  }
  return calibrate_groups(batches, granularity, methods, options);
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
