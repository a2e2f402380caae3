#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/number.hpp"
#include "reference/operations.hpp"

namespace cuqat::reference {

void order_statistics(std::span<const ConstTensorView> batches, OrderBy order,
                      std::span<const std::int64_t> ranks, double* result, int) {
  std::vector<double> values;
  for (const ConstTensorView& batch : batches) {
    for (std::int64_t i = 0; i < batch.count(); ++i) {
      const double x = load(batch.dtype(), batch.data(), i);
      if (!std::isfinite(x)) continue;
      const double value = order == OrderBy::kMagnitude ? std::fabs(x) : x;
      values.push_back(value == 0.0 ? 0.0 : value);  // -0 becomes +0.
    }
  }
  std::sort(values.begin(), values.end());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    result[i] = values[static_cast<std::size_t>(ranks[i])];
  }
}

}  // namespace cuqat::reference
