// Which rank reads what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cli/input.hpp"
#include "cuqat/quant_params.hpp"

namespace cuqat::cli {

/// Who reads what of each tensor, the same on every rank. A tensor of several files is shared file
/// by file where its distribution is exact in any pieces: bf16 and f16, a scale for the tensor or
/// for each channel. All others have one rank.
class RankPlan {
 public:
  /// All tensors are real.
  RankPlan(const std::vector<InputTensor>& tensors, const Granularity& granularity, int num_ranks);

  [[nodiscard]] bool is_shared(std::size_t tensor) const { return is_shared_[tensor]; }
  /// Of a tensor that is not shared.
  [[nodiscard]] int rank_of(std::size_t tensor) const { return rank_of_batch_[tensor].front(); }
  /// Of a tensor that is.
  [[nodiscard]] int rank_of(std::size_t tensor, std::size_t batch) const {
    return rank_of_batch_[tensor][batch];
  }
  [[nodiscard]] std::int64_t bytes_of(int rank) const {
    return bytes_of_rank_[static_cast<std::size_t>(rank)];
  }

 private:
  /// Gives bytes to the rank that has the least.
  int take(std::int64_t bytes);

  std::vector<std::int64_t> bytes_of_rank_;
  std::vector<bool> is_shared_;
  std::vector<std::vector<int>> rank_of_batch_;
};

}  // namespace cuqat::cli
