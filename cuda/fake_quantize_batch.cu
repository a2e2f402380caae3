#include "fake_quantize_batch.cuh"

#include <cstring>
#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

template <typename T>
BatchTensor batch_tensor(const FakeQuantizeWork& work) {
  const std::int64_t count = work.tensor.shape.count();
  const PackLayout layout =
      work.clip_mask == nullptr ? packs_aligned_to<T>(work.y, count) : packs_from_start(count);
  return {layout, scale_map(work.tensor), work.x, work.y, work.clip_mask, 0};
}

}  // namespace

FakeQuantizeBatchTable fake_quantize_batch_table(std::span<const FakeQuantizeWork> works) {
  FakeQuantizeBatchTable table;
  std::vector<BatchTensor> tensors;
  std::vector<std::int32_t> tensor_of_tile;
  for (const FakeQuantizeWork& work : works) {
    if (work.tensor.shape.count() == 0) continue;
    with_type(work.tensor.dtype, [&](auto type) {
      using T = typename decltype(type)::Type;
      BatchTensor tensor = batch_tensor<T>(work);
      tensor.first_tile = static_cast<std::int64_t>(tensor_of_tile.size());
      const std::int64_t tiles = (tensor.layout.num_packs - 1) / kTilePacks<T> + 1;
      tensor_of_tile.resize(tensor_of_tile.size() + static_cast<std::size_t>(tiles),
                            static_cast<std::int32_t>(tensors.size()));
      tensors.push_back(tensor);
    });
  }
  table.num_tiles = static_cast<std::int64_t>(tensor_of_tile.size());
  table.tiles_offset = tensors.size() * sizeof(BatchTensor);
  table.bytes.resize(table.tiles_offset + tensor_of_tile.size() * sizeof(std::int32_t));
  if (tensors.empty()) return table;
  std::memcpy(table.bytes.data(), tensors.data(), table.tiles_offset);
  std::memcpy(table.bytes.data() + table.tiles_offset, tensor_of_tile.data(),
              table.bytes.size() - table.tiles_offset);
  return table;
}

void launch_fake_quantize_batch(DType dtype, const Quantizer& quantizer, const void* table,
                                std::size_t tiles_offset, std::int64_t num_tiles,
                                const LaunchTarget& target) {
  if (num_tiles == 0) return;
  const BatchTable of_device{
      static_cast<const BatchTensor*>(table),
      reinterpret_cast<const std::int32_t*>(static_cast<const char*>(table) + tiles_offset),
      num_tiles};
  with_kernel_types(dtype, quantizer, [&](auto type, const auto& element_quantizer) {
    using T = typename decltype(type)::Type;
    using Q = std::decay_t<decltype(element_quantizer)>;
    launch_streaming(num_tiles * kBlockThreads, 1, 0, target, &fake_quantize_batch_kernel<T, Q>,
                     of_device, element_quantizer);
  });
}

}  // namespace cuqat::gpu
