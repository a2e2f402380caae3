// The definition of an order statistic, of values that come many times.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>

namespace cuqat::test {

/// The value of a rank among values that come so often.
inline double value_of_rank(const std::map<double, std::uint64_t>& often, std::int64_t rank) {
  auto left = static_cast<std::uint64_t>(rank);
  for (const auto& [value, count] : often) {
    if (left < count) return value;
    left -= count;
  }
  ADD_FAILURE() << "no such rank: " << rank;
  return 0.0;
}

}  // namespace cuqat::test
