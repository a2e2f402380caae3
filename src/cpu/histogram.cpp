// Histograms by leading bits and in equal bins: every thread counts in tables of its own, which are
// added at the end.
#include "cuqat/histogram.hpp"

#include <memory>
#include <vector>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

static_assert(kKeys == kNumKeys);

/// Elements below which private tables cost more than they save.
constexpr std::int64_t kFewElements = 32'768;

/// Elements that 32-bit counters take for certain.
constexpr std::int64_t kFlushAfter = std::int64_t{1} << 31;

/// Adds the counters of each key to its total.
void add_counters(const std::uint32_t* counters, std::uint64_t* counts) {
  for (std::size_t key = 0; key < kKeys; ++key) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kKeyCounters; ++i) sum += counters[key * kKeyCounters + i];
    counts[key] += sum;
  }
}

void count_few_keys(std::size_t element_bytes, const void* x, std::int64_t count,
                    std::uint64_t* counts) {
  const auto* const key = static_cast<const unsigned char*>(x) + (element_bytes - 2);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto* const at = key + static_cast<std::size_t>(i) * element_bytes;
    ++counts[static_cast<std::size_t>(at[0] | (at[1] << 8))];
  }
}

}  // namespace

void accumulate_key_histogram(const Kernels& kernels, DType dtype, std::int64_t count,
                              const void* x, std::uint64_t* counts, int num_threads) {
  const std::size_t element_bytes = dtype_bytes(dtype);
  if (count < kFewElements) return count_few_keys(element_bytes, x, count, counts);
  const int threads = static_cast<int>(
      std::clamp<std::int64_t>(count / (8 * static_cast<std::int64_t>(kKeys)), 1, num_threads));
  constexpr std::size_t kTableWords = kKeys * kKeyCounters;
  std::vector<std::uint32_t> tables(static_cast<std::size_t>(threads) * kTableWords);
  for_each_share(count, threads, [&](int share, std::int64_t begin, std::int64_t end) {
    std::uint32_t* const mine = tables.data() + static_cast<std::size_t>(share) * kTableWords;
    for (std::int64_t first = begin; first < end; first += kFlushAfter) {
      kernels.count_keys(element_bytes, element(dtype, x, first),
                         std::min(kFlushAfter, end - first), mine);
      if (end - first <= kFlushAfter) continue;
#pragma omp critical(cuqat_key_histogram)
      add_counters(mine, counts);
      std::fill_n(mine, kTableWords, 0u);
    }
  });
  for (int thread = 0; thread < threads; ++thread) {
    add_counters(tables.data() + static_cast<std::size_t>(thread) * kTableWords, counts);
  }
}

namespace {

/// Counts the elements [first, last) in `table`, which has one more entry than there are bins.
template <typename Counter>
void count_bins(const Kernels& kernels, DType dtype, const LinearBins& layout, const void* x,
                std::int64_t first, std::int64_t last, Counter* table) {
  alignas(64) std::int32_t bins[kTile];
  for (std::int64_t begin = first; begin < last; begin += kTile) {
    const std::int64_t n = std::min(kTile, last - begin);
    kernels.linear_bins(dtype, layout, element(dtype, x, begin), n, bins);
    for (std::int64_t i = 0; i < n; ++i) ++table[bins[i]];
  }
}

LinearBins make_linear_bins(double amax, BinRange range, std::size_t num_bins) {
  const auto bins = static_cast<std::int32_t>(num_bins);
  const bool magnitude = range == BinRange::kMagnitude;
  const std::int32_t per_amax = magnitude ? bins : bins / 2;
  constexpr double kLargestF32 = 0x1.fffffep127;
  const bool is_f32 = amax <= kLargestF32 && double{static_cast<float>(amax)} == amax;
  return {amax,  static_cast<double>(per_amax), magnitude ? 0 : per_amax, bins - 1, bins, magnitude,
          is_f32};
}

}  // namespace

void accumulate_linear_histogram(const Kernels& kernels, DType dtype, std::int64_t count,
                                 const void* x, double amax, BinRange range,
                                 std::span<std::uint64_t> counts, int num_threads) {
  const LinearBins layout = make_linear_bins(amax, range, counts.size());
  // A private table is worth its memory where it is small beside the data.
  const auto words = static_cast<std::int64_t>(counts.size()) + 1;
  const int threads =
      static_cast<int>(std::clamp<std::int64_t>(count / (kChunk + 4 * words), 1, num_threads));
  std::vector<std::uint64_t> tables(static_cast<std::size_t>(threads * words));
  for_each_share(count, threads, [&](int share, std::int64_t first, std::int64_t last) {
    count_bins(kernels, dtype, layout, x, first, last, tables.data() + share * words);
  });
  for (int thread = 0; thread < threads; ++thread) {
    const std::uint64_t* const table = tables.data() + thread * words;
    for (std::size_t bin = 0; bin < counts.size(); ++bin) counts[bin] += table[bin];
  }
}

}  // namespace cuqat::cpu
