// Shapes, and the scales that belong to them.
#include <cstdint>
#include <limits>
#include <string>

#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"
#include "host/arguments.hpp"
#include "host/enumerators.hpp"

namespace cuqat {

Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > kMaxRank) {
    detail::throw_invalid("the shape's rank", detail::text(extents.size()),
                          "at most " + detail::text(kMaxRank));
  }
  // The extents of 0 are left out of the product: strides must not overflow either.
  std::int64_t product = 1;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const std::int64_t extent = extents[i];
    const std::string name = "the shape's extent [" + detail::text(i) + "]";
    if (extent < 0) detail::throw_invalid(name, detail::text(extent), "at least 0");
    const std::int64_t most = std::numeric_limits<std::int64_t>::max() / product;
    if (extent > most) {
      detail::throw_invalid(
          name, detail::text(extent),
          "at most " + detail::text(most) + " here, for a product of extents below 2^63");
    }
    if (extent != 0) product *= extent;
    if (extent == 0) count_ = 0;
    extents_[i] = extent;
  }
  if (count_ != 0) count_ = product;
  rank_ = static_cast<int>(extents.size());
}

Granularity resolve_axis(const Granularity& granularity, const Shape& shape) {
  detail::check_enumerator("granularity.kind", granularity.kind, Granularity::Kind::kGroup);
  Granularity result = granularity;
  if (granularity.kind == Granularity::Kind::kChannel) {
    const int rank = shape.rank();
    if (granularity.axis < -rank || granularity.axis >= rank) {
      detail::throw_invalid("granularity.axis", detail::text(granularity.axis),
                            rank == 0
                                ? "an axis, and a tensor of rank 0 has none"
                                : "in [" + detail::text(-rank) + ", " + detail::text(rank) + ")");
    }
    if (result.axis < 0) result.axis += rank;
  }
  if (granularity.kind == Granularity::Kind::kGroup) {
    if (granularity.group_size < 1) {
      detail::throw_invalid("granularity.group_size", detail::text(granularity.group_size),
                            "at least 1");
    }
    if (shape.rank() == 0) {
      detail::throw_invalid("the rank of a tensor with groups", "0", "at least 1");
    }
  }
  return result;
}

std::int64_t num_scales(const Granularity& granularity, const Shape& shape) {
  const Granularity checked = resolve_axis(granularity, shape);
  switch (checked.kind) {
    case Granularity::Kind::kTensor:
      return 1;
    case Granularity::Kind::kChannel:
      return shape[checked.axis];
    case Granularity::Kind::kGroup: {
      if (shape.count() == 0) return 0;
      const std::int64_t last = shape[shape.rank() - 1];
      // Not (last + size - 1) / size, which may overflow.
      const std::int64_t groups = (last - 1) / checked.group_size + 1;
      return shape.count() / last * groups;
    }
  }
  return 0;
}

}  // namespace cuqat
