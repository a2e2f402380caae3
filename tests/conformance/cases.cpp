#include "conformance/cases.hpp"

#include <array>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <limits>
#include <utility>

namespace cuqat::test {
namespace {

struct Layout {
  Shape shape;
  Granularity granularity;
};

std::vector<Layout> tensor_layouts() {
  std::vector<Layout> layouts = {{Shape{}, Granularity::tensor()},
                                 {Shape{3, 0, 5}, Granularity::tensor()},
                                 {Shape{3, 5, 67}, Granularity::tensor()}};
  // Around the widths of registers, unrolled loops, mask bytes and chunks.
  for (const std::int64_t size :
       {0,   1,   2,   7,   8,   9,   15,  16,  17,   31,   32,   33,   63,   64,   65,  67,
        127, 128, 129, 255, 256, 257, 511, 513, 1023, 1024, 1025, 4095, 4096, 4097, 8193}) {
    layouts.push_back({Shape{size}, Granularity::tensor()});
  }
  return layouts;
}

std::vector<Layout> channel_layouts() {
  const std::vector<std::pair<Shape, std::vector<int>>> shapes = {
      {{3, 5, 67}, {0, 1, 2}},
      {{7, 33, 12}, {0, 1, 2}},
      {{2, 64, 128}, {0, 1, 2}},
      {{4, 1, 33}, {1}},
      {{1000, 3}, {0, 1}},
      {{3, 1000}, {0, 1}},
      {{257}, {0}},
      {{5, 0, 3}, {0, 1, 2}},
      {{64, 17, 1}, {1, 2}},
      {{2, 3, 4, 5}, {0, 1, 2}},
      {{3, 4097}, {0}},
      {{2, 2, 8200}, {1}},
      {{4099, 2}, {1}},
      {{1, 1, 1}, {1}},
      {{2, 31, 16}, {1}},
      {{5, 7, 2, 9}, {1, 2}},
      {{2, 4, 15}, {1}},
      {{2, 129}, {1}},
      {{2, 1, 3, 1, 2, 5, 2, 3}, {2, 5}}};
  std::vector<Layout> layouts;
  for (const auto& [shape, axes] : shapes) {
    for (const int axis : axes) layouts.push_back({shape, Granularity::channel(axis)});
  }
  return layouts;
}

std::vector<Layout> group_layouts() {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return {{{4, 128}, Granularity::group(32)},
          {{3, 192}, Granularity::group(64)},
          {{64, 256}, Granularity::group(128)},
          {{3, 100}, Granularity::group(32)},
          {{5, 67}, Granularity::group(7)},
          {{2, 3, 129}, Granularity::group(64)},
          {{1, 1000}, Granularity::group(128)},
          {{10, 1}, Granularity::group(32)},
          {{7}, Granularity::group(3)},
          {{3, 0}, Granularity::group(8)},
          {{0, 5}, Granularity::group(2)},
          {{2, 4097}, Granularity::group(4096)},
          {{3, 33}, Granularity::group(1)},
          {{2, 300}, Granularity::group(1000)},
          {{2, 9000}, Granularity::group(4500)},
          {{33, 31}, Granularity::group(5)},
          {{3, 70}, Granularity::group(kLargest)},
          {{2, 1, 3, 1, 2, 1, 2, 37}, Granularity::group(8)}};
}

std::vector<Layout> layouts_of(Family family) {
  if (family == Family::kChannel) return channel_layouts();
  return family == Family::kGroup ? group_layouts() : tensor_layouts();
}

/// Thread counts and seeds that differ from case to case.
void number(std::vector<ScaledCase>& all) {
  constexpr std::array kThreads = {1, 2, 3, 8};
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].num_threads = kThreads[(i + i / 4) % kThreads.size()];
    all[i].seed = 1 + i;
  }
}

/// One dtype for each format: a large tensor costs more than it tells.
bool has_large_tensors(Format format, DType dtype) {
  return !kSanitized && (static_cast<int>(format) + static_cast<int>(dtype)) % 4 == 0;
}

}  // namespace

std::vector<Quantizer> quantizers(Format format) {
  if (!is_integer(format)) {
    return {{.format = format, .saturate = true}, {.format = format, .saturate = false}};
  }
  std::vector<Quantizer> result;
  for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kOriginal}) {
    for (const bool narrow : {false, true}) {
      result.push_back({.format = format, .rounding = rounding, .narrow_range = narrow});
    }
  }
  return result;
}

std::size_t case_stride() {
  const char* const text = std::getenv("CUQAT_CASE_STRIDE");
  const long wanted = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  if (wanted > 0) return static_cast<std::size_t>(wanted);
  // A race is one in any case; a wrong access may need a size of its own.
  return kThreadSanitized ? 23 : kSanitized ? 5 : 1;
}

void print_case_stride() {
  if (kCaseStride == 1) return;
  std::cout << "[ sample   ] every " << kCaseStride << "th case, every " << kSweepStride
            << "th of a sweep\n";
}

std::vector<ScaledCase> cases(Format format, DType dtype, Family family) {
  std::vector<ScaledCase> all;
  const std::vector<Layout> layouts = layouts_of(family);
  int next_kind = 0;
  for (const Quantizer& quantizer : quantizers(format)) {
    const auto add = [&](const Layout& layout, DataKind kind) {
      all.push_back({quantizer, dtype, layout.shape, layout.granularity, kind});
    };
    for (const Layout& layout : layouts) {
      // A few small layouts see every kind of data, the others take turns.
      const bool every_kind = layout.shape.count() == 67 || layout.shape.count() == 257 ||
                              layout.shape.count() == 335 || layout.shape.count() == 1005;
      const int kinds = every_kind ? kNumDataKinds : layout.shape.count() > 4000 ? 1 : 2;
      for (int k = 0; k < kinds; ++k)
        add(layout, static_cast<DataKind>(next_kind++ % kNumDataKinds));
      add(layout, DataKind::kMixed);
    }
    if (family == Family::kTensor) add({Shape{65'537}, Granularity::tensor()}, DataKind::kMixed);
  }
  if (has_large_tensors(format, dtype)) {
    const Quantizer quantizer = quantizers(format).front();
    if (family == Family::kTensor) {
      all.push_back({quantizer, dtype, Shape{1'000'003}, {}, DataKind::kMixed});
    } else if (family == Family::kChannel) {
      all.push_back({quantizer, dtype, {13, 11, 1009}, Granularity::channel(1), DataKind::kMixed});
    } else {
      all.push_back({quantizer, dtype, {101, 1009}, Granularity::group(128), DataKind::kMixed});
    }
  }
  number(all);
  if (kCaseStride == 1) return all;
  std::vector<ScaledCase> sample;
  for (std::size_t i = 0; i < all.size(); i += kCaseStride) sample.push_back(all[i]);
  return sample;
}

std::vector<ScaledCase> matrix_cases(DType dtype) {
  const std::vector<Shape> shapes = {
      {1, 1},    {1, 64},   {64, 1},   {1, 300},  {260, 1},   {3, 7},     {4, 8},     {5, 9},
      {15, 16},  {16, 15},  {16, 16},  {17, 33},  {31, 72},   {32, 64},   {63, 65},   {64, 64},
      {65, 127}, {127, 63}, {128, 64}, {129, 65}, {130, 66},  {128, 128}, {144, 80},  {257, 8},
      {8, 257},  {64, 257}, {3, 1000}, {1000, 3}, {256, 192}, {300, 260}, {132, 520}, {3, 4500}};
  const Granularity granularities[] = {Granularity::tensor(), Granularity::channel(0),
                                       Granularity::channel(1), Granularity::group(32)};
  std::vector<ScaledCase> all;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    for (std::size_t f = 0; f < std::size(kFormats); ++f) {
      const auto choices = quantizers(kFormats[f]);
      all.push_back({choices[i % choices.size()], dtype, shapes[i], granularities[(i + f) % 4],
                     DataKind::kMixed});
    }
  }
  number(all);
  return all;
}

}  // namespace cuqat::test
