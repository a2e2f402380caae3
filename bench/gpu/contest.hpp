// How rows of products are measured: beside other products of the same shape, not copies.
//
// A row's call and its rivals take turns, timed by events on the device, each as a graph; the
// result is the median of the ratios and their interquartile range. A turn whose first rival, which
// runs before and after it, differs by more than 3 % is dropped: clocks moved, which products make
// them do. Results are compared before the timing and after, as those of measure.hpp.
#pragma once

#include <cuqat/gemm.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "measure.hpp"

namespace cuqat::bench {

using MakeOperation = std::function<std::unique_ptr<Operation>()>;

/// What a row is compared with: percent_of_<name> is its time over that of the row.
struct Rival {
  std::string name;
  MakeOperation make;
};

struct Contest {
  std::string name;
  GemmShape shape;
  int num_products;  ///< Of this shape, in a call.
  Traffic traffic;
  MakeOperation make;
  std::vector<Rival> rivals;  ///< One at least.
};

/// Registers the benchmark "<name> <m>x<n>x<k> cold". It has one set of buffers, which at full size
/// are larger than the L2 cache.
void register_contest(const Contest& contest);

/// The shape at full size, and one of fewer products where the rows' tensors have fewer elements
/// than 2^28.
GemmShape sample_of(GemmShape shape);

}  // namespace cuqat::bench
