#include "cuqat/device_fake_quant_batch.hpp"

#include <string>
#include <utility>
#include <vector>

#include "device/arguments.hpp"
#include "device/memory.hpp"

namespace cuqat {

struct FakeQuantizeBatch::State {
  int device = 0;
  DType dtype = DType::kF32;
  Quantizer quantizer;
  std::size_t tiles_offset = 0;
  std::int64_t num_tiles = 0;
  DeviceMemory table;
};

namespace {

/// An argument of an item must be that of the first.
void check_as_first(bool is_same, std::string_view argument) {
  if (is_same) return;
  detail::throw_invalid(argument, "another than that of the first item", "the same for all");
}

gpu::FakeQuantizeWork checked(const FakeQuantizeItem& item, const FakeQuantizeItem& first,
                              const DeviceContext& context) {
  check_as_first(item.x.dtype() == first.x.dtype(), "x.dtype()");
  check_as_first(item.params.quantizer == first.params.quantizer, "params.quantizer");
  return detail::check_fake_quantize(item.x, item.params, item.y, {item.clip_mask, {}}, context);
}

}  // namespace

FakeQuantizeBatch::FakeQuantizeBatch(std::span<const FakeQuantizeItem> items,
                                     const DeviceContext& context)
    : state_(std::make_unique<State>()) {
  context.state().check_is_current();  // the table goes to the current device
  std::vector<gpu::FakeQuantizeWork> works;
  for (const FakeQuantizeItem& item : items) {
    try {
      works.push_back(checked(item, items.front(), context));
    } catch (const InvalidArgument& error) {
      throw InvalidArgument("items[" + std::to_string(works.size()) + "]: " + error.what());
    }
  }
  state_->device = context.device();
  if (items.empty()) return;
  state_->dtype = items.front().x.dtype();
  state_->quantizer = items.front().params.quantizer;
  const gpu::FakeQuantizeBatchTable table = gpu::fake_quantize_batch_table(works);
  state_->tiles_offset = table.tiles_offset;
  state_->num_tiles = table.num_tiles;
  if (!table.bytes.empty()) state_->table = DeviceMemory(table.bytes);
}

FakeQuantizeBatch::~FakeQuantizeBatch() = default;
FakeQuantizeBatch::FakeQuantizeBatch(FakeQuantizeBatch&&) noexcept = default;
FakeQuantizeBatch& FakeQuantizeBatch::operator=(FakeQuantizeBatch&&) noexcept = default;

void FakeQuantizeBatch::run(const DeviceContext& context, StreamRef stream) const {
  if (context.device() != state_->device) {
    detail::throw_invalid("context.device()", detail::text(context.device()),
                          "that of the batch, " + detail::text(state_->device));
  }
  gpu::launch_fake_quantize_batch(state_->dtype, state_->quantizer, state_->table.data(),
                                  state_->tiles_offset, state_->num_tiles,
                                  context.state().target(stream));
}

}  // namespace cuqat
