// Where the elements of one scale lie in a tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuqat/quant_params.hpp"

namespace cuqat::calibration {

/// Calls visit(begin, count) for each contiguous run of elements of one scale.
template <typename Visit>
void for_each_run(const Shape& shape, const Granularity& granularity, std::int64_t index,
                  Visit visit) {
  switch (granularity.kind) {
    case Granularity::Kind::kTensor:
      visit(std::int64_t{0}, shape.count());
      return;
    case Granularity::Kind::kChannel: {
      const int axis = resolve_axis(granularity, shape).axis;
      std::int64_t inner = 1;
      for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
      const std::int64_t stride = inner * shape[axis];
      if (stride == inner) return visit(std::int64_t{0}, shape.count());
      for (std::int64_t begin = index * inner; begin < shape.count(); begin += stride) {
        visit(begin, inner);
      }
      return;
    }
    case Granularity::Kind::kGroup: {
      const std::int64_t row_length = shape[shape.rank() - 1];
      const std::int64_t groups_a_row = (row_length - 1) / granularity.group_size + 1;
      const std::int64_t column = index % groups_a_row * granularity.group_size;
      visit(index / groups_a_row * row_length + column,
            std::min(granularity.group_size, row_length - column));
      return;
    }
  }
}

/// The elements [begin, begin + count) as a tensor of rank 1.
inline ConstTensorView slice(ConstTensorView x, std::int64_t begin, std::int64_t count) {
  const auto* bytes = static_cast<const std::byte*>(x.data());
  return {bytes + begin * static_cast<std::int64_t>(dtype_bytes(x.dtype())), x.dtype(),
          Shape{count}};
}

}  // namespace cuqat::calibration
