// Order statistics by radix selection: a read counts the 16 leading bits, each further read the
// next 16 bits of the elements that share a prefix with one of the ranks.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/half.hpp"

namespace cuqat::cpu {
namespace {

using Counts = std::vector<std::uint64_t>;

constexpr std::int64_t kFewElements = 65'536;

/// Prefixes counted in one read at most: each needs half a MiB on each thread.
constexpr std::size_t kPrefixesPerRead = 64;

double value_of_pattern(DType dtype, std::uint64_t pattern) {
  switch (dtype) {
    case DType::kF32:
      return double{std::bit_cast<float>(static_cast<std::uint32_t>(pattern))};
    case DType::kF64:
      return std::bit_cast<double>(pattern);
    case DType::kF16:
      return double{scalar::to_f32(float16{static_cast<std::uint16_t>(pattern)})};
    case DType::kBF16:
      return double{scalar::to_f32(bfloat16{static_cast<std::uint16_t>(pattern)})};
  }
  return 0.0;
}

/// The pattern of an element, in the low bits.
std::uint64_t pattern_at(DType dtype, const void* x, std::int64_t i) {
  std::uint64_t pattern = 0;
  std::memcpy(&pattern, element(dtype, x, i), dtype_bytes(dtype));
  return pattern;
}

/// Few elements are sorted.
void select_from_few(std::span<const ConstTensorView> batches, OrderBy order,
                     std::span<const std::int64_t> ranks, double* result) {
  std::vector<double> values;
  for (const ConstTensorView& batch : batches) {
    for (std::int64_t i = 0; i < batch.count(); ++i) {
      const double value =
          value_of_pattern(batch.dtype(), pattern_at(batch.dtype(), batch.data(), i));
      if (std::isfinite(value)) {
        values.push_back(order == OrderBy::kMagnitude ? std::fabs(value) : value);
      }
    }
  }
  std::sort(values.begin(), values.end());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    result[i] = values[static_cast<std::size_t>(ranks[i])] + 0.0;  // -0 becomes +0.
  }
}

/// A rank on its way: the leading bits that are known, and its rank among what shares them.
struct Search {
  std::uint64_t prefix;
  std::int64_t rank;
};

/// Moves on from a prefix to the 16 bits below it. Negative patterns are ordered downwards.
Search descend(Search search, std::span<const std::uint64_t> counts, bool negative) {
  for (std::uint64_t i = 0; i < kNumKeys; ++i) {
    const std::uint64_t digit = negative ? kNumKeys - 1 - i : i;
    const auto count = static_cast<std::int64_t>(counts[digit]);
    if (search.rank < count) return {search.prefix << 16 | digit, search.rank};
    search.rank -= count;
  }
  return search;
}

/// One call's data.
class Selection {
 public:
  Selection(const Kernels& kernels, std::span<const ConstTensorView> batches, OrderBy order,
            int num_threads)
      : kernels_(kernels),
        batches_(batches),
        dtype_(batches.front().dtype()),
        bits_(static_cast<int>(dtype_bytes(dtype_)) * 8),
        by_magnitude_(order == OrderBy::kMagnitude),
        num_threads_(num_threads) {}

  void run(std::span<const std::int64_t> ranks, double* result) {
    std::vector<Search> searches;
    const Counts leading = count_leading();
    for (const std::int64_t rank : ranks) searches.push_back(find_leading(leading, rank));
    for (int known = 16; known < bits_; known += 16) refine(searches, known);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      result[i] = value_of_pattern(dtype_, searches[i].prefix) + 0.0;  // -0 becomes +0.
    }
  }

 private:
  /// Counts of the 16 leading bits, without what is not finite.
  [[nodiscard]] Counts count_leading() const;
  [[nodiscard]] Search find_leading(const Counts& leading, std::int64_t rank) const;
  void refine(std::vector<Search>& searches, int known_bits) const;
  [[nodiscard]] Counts count_after(std::span<const std::uint64_t> prefixes, int known_bits) const;

  const Kernels& kernels_;
  std::span<const ConstTensorView> batches_;
  DType dtype_;
  int bits_;
  bool by_magnitude_;
  int num_threads_;
};

Counts Selection::count_leading() const {
  Counts counts(kNumKeys);
  for (const ConstTensorView& batch : batches_) {
    accumulate_key_histogram(kernels_, dtype_, batch.count(), batch.data(), counts.data(),
                             num_threads_);
  }
  const std::uint64_t infinity = [&]() -> std::uint64_t {
    switch (dtype_) {
      case DType::kF16:
        return 0x7c00;
      case DType::kF64:
        return 0x7ff0;
      case DType::kF32:
      case DType::kBF16:
        break;
    }
    return 0x7f80;
  }();
  for (std::uint64_t key = 0; key < kNumKeys / 2; ++key) {
    std::uint64_t& positive = counts[key];
    std::uint64_t& negative = counts[key | 0x8000];
    if (key >= infinity) positive = negative = 0;
    if (by_magnitude_) {
      positive += negative;
      negative = 0;
    }
  }
  return counts;
}

/// From the largest negative pattern up to zero, then from zero up.
Search Selection::find_leading(const Counts& leading, std::int64_t rank) const {
  for (std::uint64_t i = 0; i < kNumKeys; ++i) {
    const std::uint64_t key = i < kNumKeys / 2 ? kNumKeys - 1 - i : i - kNumKeys / 2;
    const auto count = static_cast<std::int64_t>(leading[key]);
    if (rank < count) return {key, rank};
    rank -= count;
  }
  return {};
}

/// Counts for each prefix, one after the other, in one read.
Counts Selection::count_after(std::span<const std::uint64_t> prefixes, int known_bits) const {
  const std::uint64_t sign = std::uint64_t{1} << (bits_ - 1);
  const std::uint64_t keep = by_magnitude_ ? ~sign : ~std::uint64_t{0};
  const std::size_t words = prefixes.size() * kNumKeys;
  // Tables of a share must not cost more than what it reads.
  const auto shares_of = [&](const ConstTensorView& batch) {
    const auto worth = batch.count() / std::max(kChunk, static_cast<std::int64_t>(words));
    return static_cast<int>(std::clamp<std::int64_t>(worth, 1, num_threads_));
  };
  int most_shares = 1;
  for (const ConstTensorView& batch : batches_) {
    most_shares = std::max(most_shares, shares_of(batch));
  }
  Counts counts(words * static_cast<std::size_t>(most_shares));
  for (const ConstTensorView& batch : batches_) {
    const int shares = shares_of(batch);
    for_each_share(batch.count(), shares, [&](int share, std::int64_t begin, std::int64_t end) {
      std::uint64_t* const mine = counts.data() + static_cast<std::size_t>(share) * words;
      for (std::int64_t first = begin; first < end; first += kTile) {
        const void* const tile = element(dtype_, batch.data(), first);
        for (std::size_t i = 0; i < prefixes.size(); ++i) {
          kernels_.count_matching(dtype_bytes(dtype_), {keep, prefixes[i], bits_ - known_bits},
                                  tile, std::min(kTile, end - first), mine + i * kNumKeys);
        }
      }
    });
  }
  for (std::size_t i = words; i < counts.size(); ++i) counts[i % words] += counts[i];
  return counts;
}

void Selection::refine(std::vector<Search>& searches, int known_bits) const {
  // Ranks that share a prefix share its counts.
  std::vector<std::uint64_t> prefixes;
  prefixes.reserve(searches.size());
  for (const Search& search : searches) prefixes.push_back(search.prefix);
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  std::vector<Search> found = searches;
  for (std::size_t first = 0; first < prefixes.size(); first += kPrefixesPerRead) {
    const auto some =
        std::span(prefixes).subspan(first, std::min(kPrefixesPerRead, prefixes.size() - first));
    const Counts counts = count_after(some, known_bits);
    for (std::size_t i = 0; i < searches.size(); ++i) {
      const auto at = std::lower_bound(some.begin(), some.end(), searches[i].prefix);
      if (at == some.end() || *at != searches[i].prefix) continue;
      const auto offset = static_cast<std::size_t>(at - some.begin()) * kNumKeys;
      const bool negative = (searches[i].prefix >> (known_bits - 1)) != 0;
      found[i] = descend(searches[i], std::span(counts).subspan(offset, kNumKeys), negative);
    }
  }
  searches = std::move(found);
}

}  // namespace

void order_statistics(const Kernels& kernels, std::span<const ConstTensorView> batches,
                      OrderBy order, std::span<const std::int64_t> ranks, double* result,
                      int num_threads) {
  if (ranks.empty()) return;
  std::int64_t count = 0;
  for (const ConstTensorView& batch : batches) count += batch.count();
  if (count < kFewElements) return select_from_few(batches, order, ranks, result);
  Selection(kernels, batches, order, num_threads).run(ranks, result);
}

}  // namespace cuqat::cpu
