#include "calibration/accumulator.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "calibration/parallel.hpp"
#include "calibration/runs.hpp"

namespace cuqat::calibration {
namespace {

/// Below this a 16-bit batch is sorted; above, counted in a table of 65 536 keys.
constexpr std::int64_t kKeyTableThreshold = 1 << 14;

bool is_16_bit(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

/// Finite elements of one dtype's compute type, gathered and sorted in chunks.
template <typename Number>
class ChunkedSort {
 public:
  void append(ConstTensorView batch, std::int64_t begin, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += kGatherChunk) {
      append_finite(batch, begin + i, std::min(kGatherChunk, count - i), numbers_);
      const std::int64_t limit = values_.size() == 0 ? kFirstGatherChunk : kGatherChunk;
      if (static_cast<std::int64_t>(numbers_.size()) >= limit) flush();
    }
  }
  Distribution take() {
    flush();
    return std::move(values_);
  }

 private:
  void flush() {
    if (numbers_.empty()) return;
    values_ = merged(values_, distribution_of(numbers_));
  }
  std::vector<Number> numbers_;
  Distribution values_;
};

template <typename Number>
Distribution sorted_scale(ConstTensorView batch, const Granularity& granularity,
                          std::int64_t index) {
  ChunkedSort<Number> sorter;
  for_each_run(batch.shape(), granularity, index,
               [&](std::int64_t begin, std::int64_t count) { sorter.append(batch, begin, count); });
  return sorter.take();
}

}  // namespace

Distribution distribution_of_scale(ConstTensorView batch, const Granularity& granularity,
                                   std::int64_t index) {
  return batch.dtype() == DType::kF64 ? sorted_scale<double>(batch, granularity, index)
                                      : sorted_scale<float>(batch, granularity, index);
}

Accumulator::Accumulator(DType dtype_of_data, const Granularity& of)
    : dtype(dtype_of_data), granularity(of) {
  if (granularity.kind == Granularity::Kind::kTensor) resize(1);
}

void Accumulator::resize(std::size_t num_scales) {
  statistics.resize(num_scales);
  values.resize(num_scales);
  waiting_.resize(num_scales);
}

void Accumulator::add(std::size_t scale, Distribution part) {
  if (part.size() == 0) return;
  if (overflowed && !is_16_bit(dtype)) part = coarsened(part, dtype);
  std::vector<Distribution>& parts = waiting_[scale];
  while (!parts.empty() && parts.back().size() < 2 * part.size()) {
    part = merged(parts.back(), part);
    parts.pop_back();
  }
  parts.push_back(std::move(part));
}

void Accumulator::settle_when_due(std::size_t num_added) {
  num_waiting_ += num_added;
  if (num_waiting_ >= static_cast<std::size_t>(kGatherChunk)) settle();
}

void Accumulator::settle() {
  if (num_waiting_ == 0) return;
  for (std::size_t scale = 0; scale < waiting_.size(); ++scale) {
    std::vector<Distribution>& parts = waiting_[scale];
    for (; !parts.empty(); parts.pop_back()) values[scale] = merged(values[scale], parts.back());
  }
  num_waiting_ = 0;
  check_size();
}

void Accumulator::check_size() {
  if (overflowed || is_16_bit(dtype)) return;
  std::size_t num_values = 0;
  for (const Distribution& of_scale : values) num_values += of_scale.size();
  if (num_values <= kMaxExactValues) return;
  overflowed = true;
  for (Distribution& of_scale : values) of_scale = coarsened(of_scale, dtype);
}

void Accumulator::observe(ConstTensorView batch, const HostOptions& options) {
  if (batch.dtype() != dtype) {
    throw InvalidArgument("batch has dtype " + std::string(to_string(batch.dtype())) +
                          ": the collector observes " + std::string(to_string(dtype)));
  }
  const std::int64_t num = num_scales(granularity, batch.shape());
  if (!statistics.empty() && num != static_cast<std::int64_t>(statistics.size())) {
    throw InvalidArgument("batch has " + std::to_string(num) + " channels: those before had " +
                          std::to_string(statistics.size()));
  }
  if (granularity.kind == Granularity::Kind::kTensor) {
    observe_tensor(batch, options);
  } else {
    observe_channels(batch, options);
  }
}

void Accumulator::observe_tensor(ConstTensorView batch, const HostOptions& options) {
  if (is_16_bit(dtype) && batch.count() >= kKeyTableThreshold) {
    std::vector<std::uint64_t> keys(kNumKeys);
    const auto table = std::span<std::uint64_t, kNumKeys>(keys);
    accumulate_key_histogram(batch, table, options);
    statistics[0].merge(statistics_of_keys(table, dtype));
    add(0, distribution_of_keys(table, dtype));
    settle_when_due(static_cast<std::size_t>(kKeyTableThreshold));
    return;
  }
  statistics[0].merge(cuqat::statistics(batch, options));
  std::int64_t chunk = 0;
  for (std::int64_t begin = 0; begin < batch.count(); begin += chunk) {
    const std::int64_t left = batch.count() - begin;
    if (overflowed && dtype == DType::kF32 && left >= kKeyTableThreshold) {
      std::vector<std::uint64_t> keys(kNumKeys);
      const auto table = std::span<std::uint64_t, kNumKeys>(keys);
      accumulate_key_histogram(slice(batch, begin, left), table, options);
      add(0, coarsened_f32_keys(table));
      settle_when_due(static_cast<std::size_t>(kKeyTableThreshold));
      return;
    }
    const bool first = values[0].size() == 0 && num_waiting_ == 0;
    chunk = std::min(left, first ? kFirstGatherChunk : kGatherChunk);
    add(0, distribution_of_scale(slice(batch, begin, chunk), Granularity::tensor(), 0));
    settle_when_due(static_cast<std::size_t>(chunk));
  }
}

void Accumulator::observe_channels(ConstTensorView batch, const HostOptions& options) {
  const std::vector<Statistics> parts = cuqat::statistics(batch, granularity, options);
  resize(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) statistics[i].merge(parts[i]);
  // Blocks of rows bound what waits to be settled.
  const int axis = resolve_axis(granularity, batch.shape()).axis;
  std::int64_t inner = 1;
  for (int i = axis + 1; i < batch.shape().rank(); ++i) inner *= batch.shape()[i];
  const std::int64_t channels = batch.shape()[axis];
  const std::int64_t row = channels * inner;
  if (row == 0) return;
  const auto observe_block = [&](ConstTensorView block) {
    parallel_for(channels, options, [&](std::int64_t i) {
      add(static_cast<std::size_t>(i), distribution_of_scale(block, Granularity::channel(1), i));
    });
    settle_when_due(static_cast<std::size_t>(block.count()));
  };
  const std::int64_t num_rows = batch.count() / row;
  const std::int64_t block_rows = std::max<std::int64_t>(1, kGatherChunk / row);
  for (std::int64_t first = 0; first < num_rows; first += block_rows) {
    const std::int64_t rows = std::min(block_rows, num_rows - first);
    const ConstTensorView part = slice(batch, first * row, rows * row);
    observe_block({part.data(), part.dtype(), Shape{rows, channels, inner}});
  }
}

void Accumulator::merge(const Accumulator& other) {
  if (other.dtype != dtype) {
    throw InvalidArgument("other has dtype " + std::string(to_string(other.dtype)) +
                          ": this collector observes " + std::string(to_string(dtype)));
  }
  if (other.statistics.empty()) return;
  if (!statistics.empty() && statistics.size() != other.statistics.size()) {
    throw InvalidArgument("other has " + std::to_string(other.statistics.size()) +
                          " channels: this collector has " + std::to_string(statistics.size()));
  }
  std::int64_t total = 0;
  for (const std::vector<Statistics>* part :
       {static_cast<const std::vector<Statistics>*>(&statistics), &other.statistics}) {
    for (const Statistics& of_scale : *part) {
      if (__builtin_add_overflow(total, of_scale.count, &total)) {
        throw InvalidArgument("other brings the count of elements past 2^63 - 1");
      }
    }
  }
  settle();
  resize(other.statistics.size());
  if (other.overflowed && !overflowed) {
    overflowed = true;
    for (Distribution& of_scale : values) of_scale = coarsened(of_scale, dtype);
  }
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    const Statistics part = other.statistics[i];  // a copy: other may be this
    statistics[i].merge(part);
    values[i] = overflowed ? merged(values[i], coarsened(other.values[i], dtype))
                           : merged(values[i], other.values[i]);
  }
  check_size();
}

}  // namespace cuqat::calibration
