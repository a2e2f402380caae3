#include "transpose.cuh"

#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

static_assert(kTileThreads == kBlockThreads);

/// The shape has elements.
TileLayout tile_layout(const Shape& shape, const std::uint8_t* codes_transposed) {
  TileLayout layout{};
  layout.rows = shape[0];
  layout.columns = shape[1];
  layout.tiles_across = (layout.columns - 1) / kTileColumns + 1;
  layout.num_tiles = layout.tiles_across * ((layout.rows - 1) / kTileRows + 1);
  layout.by_tiles_across = Divider(layout.tiles_across);
  const auto bits =
      reinterpret_cast<std::uintptr_t>(codes_transposed) | static_cast<std::uintptr_t>(layout.rows);
  layout.column_alignment = bits % 16 == 0 ? 16 : bits % 4 == 0 ? 4 : 1;
  return layout;
}

}  // namespace

void launch_quantize_transposed(const DeviceScaledTensor& tensor, const void* x,
                                std::uint8_t* codes, std::uint8_t* codes_transposed,
                                const LaunchTarget& target) {
  if (tensor.shape.count() == 0) return;
  const TileLayout layout = tile_layout(tensor.shape, codes_transposed);
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    const ScaleMap map = scale_map(tensor);
    with_scales<typename decltype(type)::Type>(map, quantizer, [&](auto scales) {
      // A block takes one tile at a time.
      launch_streaming(layout.num_tiles * kBlockThreads, 1, sizeof(TransposedTile), target,
                       &quantize_transposed_kernel<typename decltype(scales)::Type>, layout, map,
                       quantizer, x, codes, codes_transposed);
    });
  });
}

}  // namespace cuqat::gpu
