#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>

#include "calibration/accumulator.hpp"
#include "calibration/runs.hpp"
#include "calibration/source.hpp"
#include "cuqat/scalar/histogram_key.hpp"

namespace cuqat::calibration {

ScatteredSource::ScatteredSource(std::span<const ConstTensorView> batches,
                                 const Granularity& granularity, std::int64_t scale,
                                 const Statistics& statistics, const HostOptions& options)
    : Source(batches.front().dtype(), statistics),
      batches_(batches),
      granularity_(granularity),
      scale_(scale),
      options_(options) {}

template <typename Visit>
void ScatteredSource::for_each_piece(Visit visit) const {
  const std::size_t element_bytes = dtype_bytes(dtype());
  const std::size_t piece_bytes = static_cast<std::size_t>(kGatherChunk) * element_bytes;
  std::vector<std::byte> piece;
  piece.reserve(piece_bytes);
  const auto flush = [&] {
    if (piece.empty()) return;
    const auto count = static_cast<std::int64_t>(piece.size() / element_bytes);
    visit(ConstTensorView(piece.data(), dtype(), Shape{count}));
    piece.clear();
  };
  for (const ConstTensorView& batch : batches_) {
    for_each_run(batch.shape(), granularity_, scale_, [&](std::int64_t begin, std::int64_t count) {
      const ConstTensorView run = slice(batch, begin, count);
      const auto* bytes = static_cast<const std::byte*>(run.data());
      for (std::size_t done = 0; done < run.size_bytes();) {
        const std::size_t part = std::min(run.size_bytes() - done, piece_bytes - piece.size());
        piece.insert(piece.end(), bytes + done, bytes + done + part);
        done += part;
        if (piece.size() == piece_bytes) flush();
      }
    });
  }
  flush();
}

std::vector<double> ScatteredSource::order_statistics(OrderBy order,
                                                      std::span<const std::int64_t> ranks) const {
  // Radix selection on the order of f64, 16 bits a round.
  std::vector<double> result;
  for (const std::int64_t rank : ranks) {
    std::uint64_t prefix = 0;
    auto left = static_cast<std::uint64_t>(rank);
    for (int shift = 48; shift >= 0; shift -= 16) {
      std::vector<std::uint64_t> counts(kNumKeys);
      const auto count_numbers = [&](const auto& numbers) {
        for (const auto number : numbers) {
          const auto value = static_cast<double>(number);
          const std::uint64_t key = scalar::ordered_key(
              scalar::to_bits(order == OrderBy::kMagnitude ? std::abs(value) : value));
          if (shift == 48 || key >> (shift + 16) == prefix) ++counts[(key >> shift) & 0xffff];
        }
      };
      for_each_piece([&](ConstTensorView piece) {
        if (dtype() == DType::kF64) {
          std::vector<double> numbers;
          append_finite(piece, 0, piece.count(), numbers);
          count_numbers(numbers);
        } else {
          std::vector<float> numbers;
          append_finite(piece, 0, piece.count(), numbers);
          count_numbers(numbers);
        }
      });
      std::uint64_t digit = 0;
      while (left >= counts[digit]) left -= counts[digit++];
      prefix = prefix << 16 | digit;
    }
    result.push_back(scalar::from_bits(scalar::pattern_of_ordered_key(prefix)));
  }
  return result;
}

std::vector<std::uint64_t> ScatteredSource::linear_histogram(BinRange range,
                                                             std::size_t num_bins) const {
  std::vector<std::uint64_t> bins(num_bins);
  for_each_piece([&](ConstTensorView piece) {
    accumulate_linear_histogram(piece, statistics().amax(), range, bins, options_);
  });
  return bins;
}

std::vector<std::uint64_t> ScatteredSource::key_histogram(int exponent) const {
  std::vector<std::uint64_t> keys(kNumKeys);
  for_each_piece([&](ConstTensorView piece) {
    const TensorSource source(std::span(&piece, 1), statistics(), options_);
    const std::vector<std::uint64_t> part = source.key_histogram(exponent);
    std::transform(keys.begin(), keys.end(), part.begin(), keys.begin(), std::plus<>());
  });
  return keys;
}

QuantizationError ScatteredSource::sum_errors(const QuantParams& params) const {
  const double amax = statistics().amax();
  QuantizationError result;
  for_each_piece([&](ConstTensorView piece) {
    result.merge(quantization_error(piece, params, std::span(&amax, 1), options_).front());
  });
  return result;
}

}  // namespace cuqat::calibration
