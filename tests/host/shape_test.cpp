// Shapes, and how many scales they have.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kTwoTo32 = std::int64_t{1} << 32;

TEST(ShapeOfATensor, HasTheProductOfItsExtents) {
  EXPECT_EQ(Shape{}.count(), 1);
  EXPECT_EQ(Shape{}.rank(), 0);
  EXPECT_EQ((Shape{2, 3, 4}).count(), 24);
  EXPECT_EQ((Shape{2, 0, 4}).count(), 0);
  EXPECT_EQ((Shape{2, 0, 4})[2], 4);
  EXPECT_EQ((Shape{1, 1, 1, 1, 1, 1, 1, 2}).count(), 2);
  EXPECT_EQ(Shape{kMost}.count(), kMost);
}

TEST(ShapeOfATensor, RefusesANegativeExtent) {
  expect_invalid([] { Shape({2, -3}); }, {"extent [1]", "is -3;", "at least 0"});
}

TEST(ShapeOfATensor, RefusesRankNine) {
  const std::vector<std::int64_t> extents(9, 1);
  expect_invalid([&] { const Shape shape(extents); }, {"rank", "is 9;", "at most 8"});
}

TEST(ShapeOfATensor, RefusesAProductThatOverflows) {
  expect_invalid(
      [] {
        Shape({kTwoTo32, kTwoTo32});
      },
      {"extent [1]", "is 4294967296;", "at most 2147483647", "2^63"});
  expect_invalid([] { Shape({2, kMost}); }, {"extent [1]", "at most 4611686018427387903"});
}

TEST(ShapeOfATensor, RefusesOverflowingExtentsBesideAZero) {
  // Element strides of the other axes would overflow.
  expect_invalid([] { Shape({0, kTwoTo32, kTwoTo32}); }, {"extent [2]", "is 4294967296;"});
  expect_invalid([] { Shape({kTwoTo32, kTwoTo32, 0}); }, {"extent [1]", "is 4294967296;"});
}

TEST(NumScales, IsOneForATensor) {
  EXPECT_EQ(num_scales(Granularity::tensor(), Shape{}), 1);
  EXPECT_EQ(num_scales(Granularity::tensor(), Shape{0}), 1);
  EXPECT_EQ(num_scales(Granularity::tensor(), Shape{4, 5}), 1);
}

TEST(NumScales, IsTheAxisForChannels) {
  EXPECT_EQ(num_scales(Granularity::channel(0), Shape{4, 5, 6}), 4);
  EXPECT_EQ(num_scales(Granularity::channel(-1), Shape{4, 5, 6}), 6);
  EXPECT_EQ(num_scales(Granularity::channel(-3), Shape{4, 5, 6}), 4);
  EXPECT_EQ(num_scales(Granularity::channel(1), Shape{0, 5}), 5);
  EXPECT_EQ(num_scales(Granularity::channel(0), Shape{0, 5}), 0);
}

TEST(NumScales, RoundsGroupsUpInEachRow) {
  EXPECT_EQ(num_scales(Granularity::group(4), Shape{3, 8}), 6);
  EXPECT_EQ(num_scales(Granularity::group(4), Shape{3, 9}), 9);
  EXPECT_EQ(num_scales(Granularity::group(4), Shape{2, 3, 1}), 6);
  EXPECT_EQ(num_scales(Granularity::group(4), Shape{3, 0}), 0);
  EXPECT_EQ(num_scales(Granularity::group(4), Shape{0, 3}), 0);
  EXPECT_EQ(num_scales(Granularity::group(kMost), Shape{kMost}), 1);
}

TEST(NumScales, RefusesWhatTheShapeHasNot) {
  expect_invalid(
      [] {
        num_scales(Granularity::channel(3), Shape{4, 5, 6});
      },
      {"granularity.axis", "is 3;", "[-3, 3)"});
  expect_invalid(
      [] {
        num_scales(Granularity::channel(-4), Shape{4, 5, 6});
      },
      {"granularity.axis", "is -4;", "[-3, 3)"});
  expect_invalid([] { num_scales(Granularity::channel(0), Shape{}); },
                 {"granularity.axis", "is 0;", "rank 0"});
  expect_invalid([] { num_scales(Granularity::group(2), Shape{}); },
                 {"rank of a tensor with groups", "is 0;", "at least 1"});
  expect_invalid([] { num_scales(Granularity::group(0), Shape{4}); },
                 {"granularity.group_size", "is 0;", "at least 1"});
}

}  // namespace
}  // namespace cuqat::test
