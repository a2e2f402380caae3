#include "cuqat/device_fake_quant_batch.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
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
  detail::DeviceMemory table;
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

/// Memory that an item has to do with.
struct Used {
  std::uintptr_t begin;
  std::uintptr_t end;
  std::size_t item;
  std::string_view name;
  bool is_written;
};

void add(std::vector<Used>& all, std::size_t item, const detail::Region& region, bool is_written) {
  if (region.bytes == 0) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(region.data);
  all.push_back({begin, begin + region.bytes, item, region.name, is_written});
}

/// What an item writes is no other item's: they run in no order.
void check_items_apart(std::span<const FakeQuantizeItem> items) {
  std::vector<Used> all;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const FakeQuantizeItem& item = items[i];
    add(all, i, {"y", detail::as_plain(item.y)}, true);
    add(all, i, {"clip_mask", detail::as_plain(item.clip_mask)}, true);
    add(all, i, {"x", detail::as_plain(item.x)}, false);
    add(all, i, detail::scale_region(item.params), false);
    add(all, i, detail::zero_point_region(item.params), false);
  }
  std::sort(all.begin(), all.end(), [](const Used& a, const Used& b) { return a.begin < b.begin; });
  for (auto a = all.begin(); a != all.end(); ++a) {
    for (auto b = a + 1; b != all.end() && b->begin < a->end; ++b) {
      if (a->item == b->item || (!a->is_written && !b->is_written)) continue;
      const auto name = [](const Used& used) {
        return "items[" + std::to_string(used.item) + "]." + std::string(used.name);
      };
      const auto& [written, other] = a->is_written ? std::tie(*a, *b) : std::tie(*b, *a);
      detail::throw_invalid(name(written), "in memory that " + name(other) + " uses",
                            "apart from it");
    }
  }
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
  check_items_apart(items);
  state_->device = context.device();
  if (items.empty()) return;
  state_->dtype = items.front().x.dtype();
  state_->quantizer = items.front().params.quantizer;
  const gpu::FakeQuantizeBatchTable table = gpu::fake_quantize_batch_table(works);
  state_->tiles_offset = table.tiles_offset;
  state_->num_tiles = table.num_tiles;
  if (!table.bytes.empty()) state_->table = detail::DeviceMemory(table.bytes);
}

FakeQuantizeBatch::~FakeQuantizeBatch() = default;
FakeQuantizeBatch::FakeQuantizeBatch(FakeQuantizeBatch&&) noexcept = default;
FakeQuantizeBatch& FakeQuantizeBatch::operator=(FakeQuantizeBatch&&) noexcept = default;

void FakeQuantizeBatch::run(const DeviceContext& context, StreamRef stream) const {
  detail::check_context_of("batch", state_->device, context);
  gpu::launch_fake_quantize_batch(state_->dtype, state_->quantizer, state_->table.data(),
                                  state_->tiles_offset, state_->num_tiles,
                                  context.state().target(stream));
}

}  // namespace cuqat
