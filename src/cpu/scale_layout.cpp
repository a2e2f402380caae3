#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {

ScaleLayout::ScaleLayout(const detail::ScaledTensor& tensor)
    : count(tensor.shape.count()),
      row_length(count),
      run_length(count),
      runs_per_row(1),
      num_scales(tensor.num_scales) {
  if (tensor.granularity.kind == Granularity::Kind::kTensor || num_scales <= 1 || count == 0) {
    return;
  }
  const auto extents = tensor.shape.extents();
  if (tensor.granularity.kind == Granularity::Kind::kGroup) {
    row_length = extents.back();
    run_length = std::min(tensor.granularity.group_size, row_length);
    runs_per_row = (row_length - 1) / run_length + 1;
    return;
  }
  const auto axis = static_cast<std::size_t>(tensor.granularity.axis);
  run_length = 1;
  for (std::size_t i = axis + 1; i < extents.size(); ++i) run_length *= extents[i];
  runs_per_row = extents[axis];
  row_length = runs_per_row * run_length;
}

TileQuantizer tile_quantizer(const detail::ScaledTensor& tensor) {
  const Quantizer& quantizer = tensor.quantizer;
  return {tensor.dtype,       quantizer.format, quantizer.rounding,
          quantizer.saturate, qmin(quantizer),  qmax(quantizer)};
}

namespace {

std::size_t compute_bytes(DType dtype) {
  return dtype == DType::kF64 ? sizeof(double) : sizeof(float);
}

}  // namespace

TileScale single_scale(const detail::ScaledTensor& tensor, std::int64_t index) {
  return {static_cast<const std::byte*>(tensor.scale) +
              static_cast<std::size_t>(index) * compute_bytes(tensor.dtype),
          tensor.zero_point + index, false};
}

double scale_value(const detail::ScaledTensor& tensor, std::int64_t index) {
  return tensor.dtype == DType::kF64 ? static_cast<const double*>(tensor.scale)[index]
                                     : static_cast<const float*>(tensor.scale)[index];
}

template <typename C>
TileScale ScaleBuffer::expand(const detail::ScaledTensor& tensor, const ScaleLayout& layout,
                              std::int64_t begin, std::int64_t length) {
  auto* const scale = reinterpret_cast<C*>(scale_);
  const auto* const source = static_cast<const C*>(tensor.scale);
  // A short row is written once and then repeated, doubling what is there.
  const bool repeats = layout.is_periodic() && layout.row_length < length;
  const std::int64_t written = repeats ? layout.row_length : length;
  for_each_run(layout, begin, begin + written,
               [&](std::int64_t first, std::int64_t run, std::int64_t index) {
                 std::fill_n(scale + (first - begin), run, source[index]);
                 std::fill_n(zero_point_ + (first - begin), run, tensor.zero_point[index]);
               });
  for (std::int64_t done = written; done < length;) {
    const std::int64_t more = std::min(done, length - done);
    std::copy_n(scale, more, scale + done);
    std::copy_n(zero_point_, more, zero_point_ + done);
    done += more;
  }
  return {scale, zero_point_, true};
}

TileScale ScaleBuffer::tile(const detail::ScaledTensor& tensor, const ScaleLayout& layout,
                            std::int64_t begin, std::int64_t length) {
  if (layout.is_single()) return single_scale(tensor, 0);
  const std::int64_t row = begin / layout.row_length;
  const std::int64_t in_row = begin % layout.row_length;
  const std::int64_t run = in_row / layout.run_length;
  const std::int64_t run_end = std::min((run + 1) * layout.run_length, layout.row_length);
  const std::int64_t index = (row * layout.runs_per_row + run) % layout.num_scales;
  if (in_row + length <= run_end) return single_scale(tensor, index);
  if (layout.run_length == 1 && in_row + length <= layout.row_length) {
    TileScale in_place = single_scale(tensor, index);
    in_place.per_element = true;
    return in_place;
  }
  return tensor.dtype == DType::kF64 ? expand<double>(tensor, layout, begin, length)
                                     : expand<float>(tensor, layout, begin, length);
}

}  // namespace cuqat::cpu
