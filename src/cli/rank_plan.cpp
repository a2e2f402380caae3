#include "cli/rank_plan.hpp"

#include <algorithm>

namespace cuqat::cli {

RankPlan::RankPlan(const std::vector<InputTensor>& tensors, const Granularity& granularity,
                   int num_ranks)
    : bytes_of_rank_(static_cast<std::size_t>(num_ranks)) {
  for (const InputTensor& tensor : tensors) {
    const DType dtype = tensor.batches.front().view->dtype();
    const bool is_shared = num_ranks > 1 && tensor.batches.size() > 1 &&
                           (dtype == DType::kBF16 || dtype == DType::kF16) &&
                           granularity.kind != Granularity::Kind::kGroup;
    is_shared_.push_back(is_shared);
    std::vector<int>& ranks = rank_of_batch_.emplace_back();
    if (!is_shared) ranks.push_back(take(tensor.bytes()));
    for (std::size_t i = 0; is_shared && i < tensor.batches.size(); ++i) {
      ranks.push_back(take(static_cast<std::int64_t>(tensor.batches[i].view->size_bytes())));
    }
  }
}

int RankPlan::take(std::int64_t bytes) {
  const auto least = std::ranges::min_element(bytes_of_rank_);
  *least += bytes;
  return static_cast<int>(least - bytes_of_rank_.begin());
}

}  // namespace cuqat::cli
