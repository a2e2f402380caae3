// Where packs and their scales lie, also past what 32 bits count: the numbers alone, no memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cuqat/format.hpp"
#include "dispatch.hpp"
#include "dynamic_quantize.cuh"
#include "for_each_pack.cuh"
#include "pack.cuh"
#include "scale_map.cuh"
#include "scale_terms.cuh"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

using gpu::Divider;
using gpu::PackLayout;
using gpu::PackSpan;

constexpr std::int64_t kPast32 = (std::int64_t{1} << 32) + 12'345;

const void* address(std::uintptr_t value) { return reinterpret_cast<const void*>(value); }

/// Packs follow each other without a gap, from 0 to count, and start at 16 bytes where they are
/// whole.
void expect_cover(const PackLayout& layout, std::int64_t count, std::uintptr_t begin,
                  std::int64_t first_pack) {
  ASSERT_EQ(layout.count, count);
  std::int64_t end = -1;
  for (std::int64_t pack = first_pack; pack < layout.num_packs; ++pack) {
    const PackSpan span = layout.span(pack);
    ASSERT_LT(span.begin, span.end) << pack;
    if (end < 0 && first_pack == 0) {
      ASSERT_EQ(span.first + span.begin, 0);
    }
    if (end >= 0) {
      ASSERT_EQ(span.first + span.begin, end) << pack;
    }
    if (layout.shift != 0 && span.is_whole()) {
      ASSERT_EQ((begin + static_cast<std::uintptr_t>(span.first) * 2) % 16, 0u);
    }
    end = span.first + span.end;
  }
  ASSERT_EQ(end, count);
}

TEST(PackLayout, CoversEveryElementOnce) {
  for (std::int64_t count = 1; count < 200; ++count) {
    expect_cover(gpu::packs_from_start(count), count, 0, 0);
    for (std::uintptr_t begin = 0; begin < 32; ++begin) {
      expect_cover(gpu::packs_aligned_to<bfloat16>(address(begin), count), count, begin, 0);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PackLayout, CoversTheEndOfWhat32BitsDoNotCount) {
  for (std::int64_t count = kPast32; count < kPast32 + 20; ++count) {
    const PackLayout layout = gpu::packs_from_start(count);
    EXPECT_EQ(layout.num_packs, (count + 7) / 8);
    expect_cover(layout, count, 0, layout.num_packs - 5);
    const PackLayout aligned = gpu::packs_aligned_to<bfloat16>(address(6), count);
    EXPECT_EQ(aligned.shift, 3);
    expect_cover(aligned, count, 6, aligned.num_packs - 5);
  }
}

/// The loop of the streaming kernels, over the last packs of such a tensor: which elements it
/// moves, and whether as whole words.
TEST(ForEachPack, ComesToTheEndOfWhat32BitsDoNotCount) {
  constexpr int kInFlight = 4;
  struct Moved {
    std::int64_t first;
    std::int64_t end;
    std::int64_t pack;
  };
  for (const std::uintptr_t begin : {0u, 6u}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      for (int num_packs = 1; num_packs < 12; ++num_packs) {
        const PackLayout layout = gpu::packs_aligned_to<bfloat16>(address(begin), kPast32);
        const std::int64_t first_pack = layout.num_packs - 1 - (num_packs - 1) * stride;
        const auto sequence = gpu::PackSequence::until(layout.num_packs, first_pack, stride);
        for (const bool moves_words : {true, false}) {
          std::vector<Moved> moved;
          int loads = 0;
          gpu::for_each_pack<kInFlight>(
              layout, moves_words, sequence,
              [&](const auto& place) {
                ++loads;
                return place.first + place.begin;
              },
              [&](const auto& place, std::int64_t loaded, std::int64_t pack) {
                if (!place.is_whole()) return false;
                EXPECT_EQ(loaded, place.first + place.begin);
                moved.push_back({place.first + place.begin, place.first + place.end, pack});
                return true;
              },
              [&](const PackSpan& span, std::int64_t loaded, std::int64_t pack) {
                EXPECT_EQ(loaded, span.first + span.begin);
                moved.push_back({span.first + span.begin, span.first + span.end, pack});
              });
          EXPECT_EQ(loads, num_packs);
          ASSERT_EQ(moved.size(), static_cast<std::size_t>(num_packs));
          std::sort(moved.begin(), moved.end(),
                    [](const Moved& a, const Moved& b) { return a.pack < b.pack; });
          for (int i = 0; i < num_packs; ++i) {
            const Moved& one = moved[static_cast<std::size_t>(i)];
            const PackSpan expected = layout.span(first_pack + i * stride);
            ASSERT_EQ(one.pack, first_pack + i * stride);
            ASSERT_EQ(one.first, expected.first + expected.begin);
            ASSERT_EQ(one.end, expected.first + expected.end);
          }
          ASSERT_EQ(moved.back().end, kPast32);
        }
      }
    }
  }
}

TEST(Divider, DividesAsTheMachineDoes) {
  Random random(8);
  std::vector<std::int64_t> divisors{1, 2, 3, 5, 7, 8, 9, 4096, 16'384, 2'147'483'647, kPast32};
  for (int i = 0; i < 200; ++i) {
    divisors.push_back(static_cast<std::int64_t>(random() >> (1 + i % 60)) + 1);
  }
  for (const std::int64_t divisor : divisors) {
    const Divider divide(divisor);
    std::vector<std::int64_t> numbers{0, 1, divisor - 1, divisor, kPast32, INT64_MAX};
    for (int i = 0; i < 200; ++i) {
      const auto number = static_cast<std::int64_t>(random() >> (1 + i % 62));
      const std::int64_t multiple = number - number % divisor;
      for (const std::int64_t near : {number, multiple, multiple - 1}) {
        if (near >= 0) numbers.push_back(near);
      }
    }
    for (const std::int64_t number : numbers) {
      ASSERT_EQ(divide(number), number / divisor) << number << " / " << divisor;
    }
  }
}

gpu::ScaleMap map_of(const std::vector<float>& scale, std::int64_t row_length,
                     std::int64_t run_length, bool is_periodic) {
  gpu::ScaleMap map{};
  map.scale = scale.data();
  map.row_length = row_length;
  map.run_length = run_length;
  map.runs_per_row = (row_length - 1) / run_length + 1;
  map.by_row = Divider(row_length);
  map.by_run = Divider(run_length);
  map.is_periodic = is_periodic;
  return map;
}

/// From an element on, one after the other, each with the scale of its run.
void expect_scales(const gpu::ScaleMap& map, const std::vector<float>& scale, std::int64_t first) {
  gpu::ScaleCursor<float> cursor(map, first);
  for (std::int64_t element = first; element < first + 40; ++element) {
    if (element > first) cursor.advance();
    const std::int64_t run = element % map.row_length / map.run_length;
    const std::int64_t row = element / map.row_length;
    const std::int64_t index = map.is_periodic ? run : row * map.runs_per_row + run;
    ASSERT_EQ(cursor.scale(), scale[static_cast<std::size_t>(index)]) << element;
  }
}

TEST(ScaleCursor, FindsTheScalesOfElementsPast32Bits) {
  std::vector<float> scale(3000);
  for (std::size_t i = 0; i < scale.size(); ++i) scale[i] = static_cast<float>(i);
  Random random(9);
  for (const std::int64_t run : {1, 2, 7, 8, 9, 64}) {
    for (const std::int64_t row : {run, 3 * run, 5 * run + run / 2, 2000 * run}) {
      const gpu::ScaleMap map = map_of(scale, row, run, true);
      for (int i = 0; i < 50; ++i) {
        expect_scales(map, scale, kPast32 + static_cast<std::int64_t>(random() >> 40));
        if (HasFatalFailure()) return;
      }
    }
  }
  // Groups of long rows.
  const std::int64_t row = std::int64_t{1} << 33;
  const gpu::ScaleMap groups = map_of(scale, row, row / 1000, false);
  for (const std::int64_t first : {row - 20, 2 * row - 20, row / 1000 - 5, kPast32}) {
    expect_scales(groups, scale, first);
  }
}

/// Where the groups of a tensor of more than 2^32 elements lie.
TEST(GroupLayout, SpansGroupsPastWhat32BitsCount) {
  constexpr std::int64_t kRow = 1000;
  constexpr std::int64_t kGroup = 128;
  constexpr std::int64_t kPerRow = 8;  // the last has 104
  const std::int64_t rows = kPast32 / kRow + 1;
  const gpu::GroupLayout layout{kRow, kGroup, kPerRow, rows * kPerRow, Divider(kPerRow)};
  for (std::int64_t row = rows - 3; row < rows; ++row) {
    for (std::int64_t i = 0; i < kPerRow; ++i) {
      const auto span = layout.span(row * kPerRow + i);
      EXPECT_EQ(span.first, row * kRow + i * kGroup);
      EXPECT_EQ(span.length, i == kPerRow - 1 ? kRow - i * kGroup : kGroup);
      const PackSpan second = span.pack(1);
      EXPECT_EQ(second.first, span.first + 8);
    }
  }
  EXPECT_EQ(layout.span(rows * kPerRow).length, 0);
}

gpu::ScaleTerms terms_of(const Shape& shape, const Granularity& granularity, std::int64_t scales) {
  gpu::DeviceScaledTensor tensor{};
  tensor.dtype = DType::kBF16;
  tensor.shape = shape;
  tensor.granularity = granularity;
  tensor.num_scales = scales;
  return gpu::scale_terms(tensor);
}

/// The only thread of the last block of the grid.
class LastBlock {
 public:
  explicit LastBlock(std::int64_t num_items, unsigned num_threads, unsigned thread)
      : before_(simt::builtins) {
    simt::builtins.thread = {thread, 0, 0};
    simt::builtins.block = {static_cast<unsigned>(num_items - 1), 0, 0};
    simt::builtins.block_extent = dim3(num_threads);
    simt::builtins.grid_extent = dim3(static_cast<unsigned>(num_items));
  }
  ~LastBlock() { simt::builtins = before_; }
  LastBlock(const LastBlock&) = delete;
  LastBlock& operator=(const LastBlock&) = delete;

 private:
  simt::Builtins before_;
};

/// The last chunk of the last channel of [70 000, 70 000], by rows.
TEST(ScaleTerms, ChunksLieWhere32BitsDoNotCount) {
  constexpr std::int64_t kSide = 70'000;
  const gpu::ScaleTerms terms = terms_of({kSide, kSide}, Granularity::channel(0), kSide);
  ASSERT_FALSE(terms.by_strips);
  ASSERT_EQ(terms.chunks_per_scale, (kSide + 4095) / 4096);
  int found = 0;
  const LastBlock block(terms.num_parts * terms.chunks_per_scale, 32, 5);
  gpu::for_each_chunk(terms, [&](const gpu::ScaleChunk& chunk) {
    ++found;
    EXPECT_EQ(chunk.scale, kSide - 1);
    EXPECT_EQ(chunk.number, terms.chunks_per_scale - 1);
    EXPECT_EQ(chunk.first_element, (kSide - 1) * kSide);
    EXPECT_EQ(chunk.length, kSide % 4096);
    gpu::ChunkCursor cursor(terms, chunk);
    EXPECT_EQ(cursor.element(), (kSide - 1) * kSide + chunk.number * 4096 + 5);
    cursor.advance();
    EXPECT_EQ(cursor.element(), (kSide - 1) * kSide + chunk.number * 4096 + 37);
  });
  EXPECT_EQ(found, 1);
}

/// The same by columns.
TEST(ScaleTerms, StripsLieWhere32BitsDoNotCount) {
  constexpr std::int64_t kSide = 70'000;
  const gpu::ScaleTerms terms = terms_of({kSide, kSide}, Granularity::channel(1), kSide);
  ASSERT_TRUE(terms.by_strips);
  int found = 0;
  const LastBlock block(terms.num_parts * terms.chunks_per_scale, 256, 3 * 32 + 7);
  gpu::for_each_strip(terms, [&](const gpu::StripColumn& column) {
    ++found;
    const std::int64_t first_row = (terms.chunks_per_scale - 1) * 4096;
    EXPECT_EQ(column.chunk, terms.chunks_per_scale - 1);
    EXPECT_EQ(column.scale, (kSide - 1) / 32 * 32 + 7);
    EXPECT_EQ(column.first_element, (first_row + 3) * kSide + column.scale);
    EXPECT_EQ(column.num_rows, kSide % 4096);
    gpu::StepCursor cursor(terms, column);
    cursor.advance();
    EXPECT_EQ(cursor.element(), (first_row + 11) * kSide + column.scale);
  });
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace cuqat::test
