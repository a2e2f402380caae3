#include "reference/scales.hpp"

#include <array>

namespace cuqat::reference {

std::int64_t scale_index(const detail::ScaledTensor& tensor, std::int64_t index) {
  if (tensor.granularity.kind == Granularity::Kind::kTensor) return 0;
  const int last_axis = tensor.shape.rank() - 1;
  std::array<std::int64_t, Shape::kMaxRank> coordinate{};
  for (int axis = last_axis; axis >= 0; --axis) {
    coordinate[static_cast<std::size_t>(axis)] = index % tensor.shape[axis];
    index /= tensor.shape[axis];
  }
  if (tensor.granularity.kind == Granularity::Kind::kChannel) {
    return coordinate[static_cast<std::size_t>(tensor.granularity.axis)];
  }
  std::int64_t row = 0;
  for (int axis = 0; axis < last_axis; ++axis) {
    row = row * tensor.shape[axis] + coordinate[static_cast<std::size_t>(axis)];
  }
  const std::int64_t size = tensor.granularity.group_size;
  const std::int64_t last = tensor.shape[last_axis];
  const std::int64_t groups = last / size + (last % size != 0 ? 1 : 0);
  return row * groups + coordinate[static_cast<std::size_t>(last_axis)] / size;
}

}  // namespace cuqat::reference
