#include "device/batch_source.hpp"

#include <algorithm>

#include "check.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/histogram_key.hpp"

namespace cuqat {
namespace {

/// Ranks of one pair of reads, and the counts that any answer takes.
constexpr std::size_t kRanksAtOnce = 2;
constexpr std::size_t kMostCounts = kRanksAtOnce * kNumKeys;

/// Device memory of the answers.
struct Memory {
  Statistics all;
  gpu::SelectedKeys keys;
  float scale;
  std::int32_t zero_point;
  QuantizationError error;
  std::uint64_t counts[kMostCounts];
};

/// To or from pinned memory of the host: where waiting fails the copy may still be under way, and
/// what frees that memory waits for it.
void copy(void* to, const void* from, std::size_t bytes, const gpu::LaunchTarget& target) {
  gpu::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, target.stream), "cudaMemcpyAsync",
             target.operation);
}
void wait(const gpu::LaunchTarget& target) {
  gpu::check(cudaStreamSynchronize(target.stream), "cudaStreamSynchronize", target.operation);
}

/// The finite elements whose patterns begin with a key, by its place in the order.
std::uint64_t elements_at(OrderBy order, std::uint32_t place,
                          std::span<const std::uint64_t> key_counts) {
  constexpr std::uint32_t kInfinity = 0x7f80;
  constexpr std::uint32_t kSign = 0x8000;
  if (order == OrderBy::kMagnitude) {
    return place < kInfinity ? key_counts[place] + key_counts[place | kSign] : 0;
  }
  const std::uint32_t key = scalar::pattern_of_ordered_key(static_cast<std::uint16_t>(place));
  return (key & ~kSign) < kInfinity ? key_counts[key] : 0;
}

/// The place, of kNumKeys, in which a rank lies, which becomes the rank in it.
template <typename CountOf>
std::uint32_t place_of(std::uint64_t& rank, const CountOf& count_of) {
  std::uint32_t place = 0;
  for (; place + 1 < kNumKeys && count_of(place) <= rank; ++place) rank -= count_of(place);
  return place;
}

double value_at(OrderBy order, std::uint32_t place) {
  const std::uint32_t pattern =
      order == OrderBy::kMagnitude ? place : scalar::pattern_of_ordered_key(place);
  return static_cast<double>(scalar::from_bits(pattern)) + 0.0;  // a zero is +0
}

}  // namespace

Statistics BatchSource::statistics_of(std::span<const ConstDeviceTensorView> batches,
                                      const gpu::LaunchTarget& target) {
  const detail::DeviceMemory memory(2 * sizeof(Statistics), target.operation);
  auto* const all = static_cast<Statistics*>(memory.data());
  Statistics* const of_batch = all + 1;
  gpu::launch_clear_statistics(all, target);
  for (const ConstDeviceTensorView& batch : batches) {
    gpu::launch_statistics(DType::kF32, batch.count(), batch.data(), of_batch, target);
    gpu::launch_merge_statistics(of_batch, all, target);
  }
  const detail::PinnedMemory on_host(sizeof(Statistics), target.operation);
  copy(on_host.data(), all, sizeof(Statistics), target);
  wait(target);
  return *static_cast<const Statistics*>(on_host.data());
}

BatchSource::BatchSource(std::span<const ConstDeviceTensorView> batches,
                         const Statistics& statistics, const gpu::LaunchTarget& target)
    : Source(DType::kF32, statistics),
      batches_(batches),
      target_(target),
      memory_(sizeof(Memory), target.operation),
      on_host_(sizeof(Memory), target.operation) {}

template <typename Launch>
std::vector<std::uint64_t> BatchSource::counted(std::size_t num_counts,
                                                const Launch& launch) const {
  std::uint64_t* const counts = static_cast<Memory*>(memory_.data())->counts;
  const std::size_t bytes = num_counts * sizeof(*counts);
  gpu::check(cudaMemsetAsync(counts, 0, bytes, target_.stream), "cudaMemsetAsync",
             target_.operation);
  for (const ConstDeviceTensorView& batch : batches_) launch(batch, counts);
  const std::uint64_t* const found = static_cast<Memory*>(on_host_.data())->counts;
  copy(static_cast<Memory*>(on_host_.data())->counts, counts, bytes, target_);
  wait(target_);
  return {found, found + num_counts};
}

std::vector<double> BatchSource::order_statistics(OrderBy order,
                                                  std::span<const std::int64_t> ranks) const {
  const std::vector<std::uint64_t> key_counts = key_histogram(0);
  const auto in_key = [&](std::uint32_t place) { return elements_at(order, place, key_counts); };
  std::vector<double> result;
  for (std::size_t first = 0; first < ranks.size(); first += kRanksAtOnce) {
    const std::span<const std::int64_t> some =
        ranks.subspan(first, std::min(kRanksAtOnce, ranks.size() - first));
    gpu::SelectedKeys& keys = static_cast<Memory*>(on_host_.data())->keys;
    keys = {};
    std::vector<std::uint64_t> rank(some.begin(), some.end());  // in its key
    std::vector<std::size_t> key_of(some.size());
    for (std::size_t i = 0; i < some.size(); ++i) {
      const std::uint32_t place = place_of(rank[i], in_key);
      unsigned* const end = keys.key + keys.num_keys;
      unsigned* const known = std::find(keys.key, end, place);
      key_of[i] = static_cast<std::size_t>(known - keys.key);
      if (known == end) keys.key[keys.num_keys++] = place;
    }
    gpu::SelectedKeys* const on_device = &static_cast<Memory*>(memory_.data())->keys;
    copy(on_device, &keys, sizeof(keys), target_);
    const std::vector<std::uint64_t> lows =
        counted(kRanksAtOnce * kNumKeys, [&](const auto& batch, std::uint64_t* counts) {
          gpu::launch_low_counts(order, batch.count(), batch.data(), on_device, counts, target_);
        });
    for (std::size_t i = 0; i < some.size(); ++i) {
      const std::uint64_t* const in_low = lows.data() + key_of[i] * kNumKeys;
      const std::uint32_t low = place_of(rank[i], [&](std::uint32_t at) { return in_low[at]; });
      result.push_back(value_at(order, keys.key[key_of[i]] << 16 | low));
    }
  }
  return result;
}

std::vector<std::uint64_t> BatchSource::linear_histogram(BinRange range,
                                                         std::size_t num_bins) const {
  std::vector<std::uint64_t> bins =
      counted(num_bins, [&](const auto& batch, std::uint64_t* counts) {
        gpu::launch_equal_bins(batch.count(), batch.data(), statistics().amax(), range, num_bins,
                               counts, target_);
      });
  bins[range == BinRange::kMagnitude ? 0 : num_bins / 2] +=
      static_cast<std::uint64_t>(statistics().zeros);
  return bins;
}

std::vector<std::uint64_t> BatchSource::key_histogram(int exponent) const {
  if (exponent == 0) {
    return counted(kNumKeys, [&](const auto& batch, std::uint64_t* counts) {
      gpu::launch_key_histogram(DType::kF32, batch.count(), batch.data(), counts, nullptr, target_);
    });
  }
  // Of magnitudes, which is what is asked for with an exponent.
  std::vector<std::uint64_t> keys = counted(kNumKeys, [&](const auto& batch,
                                                          std::uint64_t* counts) {
    gpu::launch_relative_bins(batch.count(), batch.data(), statistics().amax(), counts, target_);
  });
  keys[0] += static_cast<std::uint64_t>(statistics().zeros);
  return keys;
}

QuantizationError BatchSource::sum_errors(const QuantParams& params) const {
  auto* const memory = static_cast<Memory*>(memory_.data());
  auto* const on_host = static_cast<Memory*>(on_host_.data());
  on_host->all = statistics();
  on_host->scale = static_cast<float>(params.scale.front());
  on_host->zero_point = params.zero_point.front();
  copy(&memory->all, &on_host->all, sizeof(Statistics), target_);
  copy(&memory->scale, &on_host->scale, sizeof(float), target_);
  copy(&memory->zero_point, &on_host->zero_point, sizeof(std::int32_t), target_);
  QuantizationError sum;
  for (const ConstDeviceTensorView& batch : batches_) {
    const gpu::DeviceScaledTensor tensor{
        DType::kF32, batch.shape(),  Granularity::tensor(), params.quantizer,
        1,           &memory->scale, &memory->zero_point};
    gpu::launch_quantization_error(tensor, batch.data(), &memory->all, &memory->error, target_);
    copy(&on_host->error, &memory->error, sizeof(QuantizationError), target_);
    wait(target_);
    sum.merge(on_host->error);
  }
  return sum;
}

}  // namespace cuqat
