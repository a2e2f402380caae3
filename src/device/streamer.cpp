#include "cuqat/device_streamer.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "check.hpp"
#include "cuqat/histogram.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"
#include "device/stream.hpp"

namespace cuqat {
namespace {

/// A part of a tensor on its way.
struct Slot {
  explicit Slot(std::size_t bytes) : staged(bytes), on_device(bytes) {}
  detail::PinnedMemory staged;
  detail::DeviceMemory on_device;
  detail::OwnEvent copied;   ///< `staged` is free again.
  detail::OwnEvent counted;  ///< `on_device` is.
};

constexpr std::size_t kCountBytes = kNumKeys * sizeof(std::uint64_t);

void copy_by_threads(std::byte* to, const std::byte* from, std::size_t bytes, int num_threads) {
  constexpr std::size_t kLeastOfAThread = std::size_t{1} << 20;
  const std::size_t num_parts =
      std::clamp<std::size_t>(bytes / kLeastOfAThread, 1, static_cast<std::size_t>(num_threads));
  const auto copy_part = [=](std::size_t i) {
    const std::size_t begin = bytes * i / num_parts;
    std::memcpy(to + begin, from + begin, bytes * (i + 1) / num_parts - begin);
  };
  std::vector<std::jthread> helpers;
  helpers.reserve(num_parts - 1);
  for (std::size_t i = 1; i < num_parts; ++i) {
    try {
      helpers.emplace_back(copy_part, i);
    } catch (const std::system_error&) {  // there are no more threads
      copy_part(i);
    }
  }
  copy_part(0);
}

}  // namespace

struct DeviceStreamer::State {
  State(const DeviceContext& context, std::size_t bytes, int threads)
      : of_context(context.state()),
        buffer_bytes(bytes),
        num_threads(threads),
        slots{Slot(bytes), Slot(bytes)} {}
  ~State() {
    // The buffers outlive the work on them. There is nothing to do about an error.
    for (const detail::OwnStream* stream : {&copying, &counting}) {
      if (cudaStreamSynchronize(stream->get()) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
      }
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const DeviceContext::State& of_context;
  std::size_t buffer_bytes;
  int num_threads;
  std::array<Slot, 2> slots;
  detail::DeviceMemory counts{kCountBytes};
  detail::PinnedMemory counts_on_host{kCountBytes};
  detail::OwnStream copying;
  detail::OwnStream counting;
  bool has_failed = false;  ///< The last call, or the one that runs may.
};

DeviceStreamer::DeviceStreamer(const DeviceContext& context, const Options& options) {
  if (options.buffer_bytes < 2) {
    detail::throw_invalid("options.buffer_bytes", detail::text(options.buffer_bytes), "at least 2");
  }
  const int threads = num_threads({.num_threads = options.num_threads});
  context.state().check_is_current();
  state_ = std::make_unique<State>(context, options.buffer_bytes / 2 * 2, threads);
}
DeviceStreamer::~DeviceStreamer() = default;
DeviceStreamer::DeviceStreamer(DeviceStreamer&&) noexcept = default;
DeviceStreamer& DeviceStreamer::operator=(DeviceStreamer&&) noexcept = default;

CalibrationCollector DeviceStreamer::collect(ConstTensorView batch) {
  detail::check_view("batch", batch);
  const DType dtype = batch.dtype();
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    detail::throw_invalid("batch.dtype()", to_string(dtype), "F16 or BF16");
  }
  State& s = *state_;
  const gpu::LaunchTarget target = s.of_context.target(s.counting.get());
  if (s.has_failed) {  // what was under way has not been waited for
    s.copying.wait();
    s.counting.wait();
  }
  s.has_failed = true;
  auto* const counts = static_cast<std::uint64_t*>(s.counts.data());
  gpu::check(cudaMemsetAsync(counts, 0, kCountBytes, target.stream), "cudaMemsetAsync");
  const auto* const from = static_cast<const std::byte*>(batch.data());
  std::size_t turn = 0;
  for (std::size_t done = 0; done < batch.size_bytes(); done += s.buffer_bytes, ++turn) {
    Slot& slot = s.slots[turn % s.slots.size()];
    const std::size_t bytes = std::min(s.buffer_bytes, batch.size_bytes() - done);
    slot.copied.wait();
    copy_by_threads(static_cast<std::byte*>(slot.staged.data()), from + done, bytes, s.num_threads);
    slot.counted.hold_up(s.copying);
    gpu::check(cudaMemcpyAsync(slot.on_device.data(), slot.staged.data(), bytes,
                               cudaMemcpyHostToDevice, s.copying.get()),
               "cudaMemcpyAsync");
    slot.copied.record(s.copying);
    slot.copied.hold_up(s.counting);
    gpu::launch_key_histogram(dtype, static_cast<std::int64_t>(bytes / 2), slot.on_device.data(),
                              counts, nullptr, target);
    slot.counted.record(s.counting);
  }
  gpu::check(cudaMemcpyAsync(s.counts_on_host.data(), counts, kCountBytes, cudaMemcpyDeviceToHost,
                             target.stream),
             "cudaMemcpyAsync");
  gpu::check(cudaStreamSynchronize(target.stream), "cudaStreamSynchronize");
  s.has_failed = false;
  const auto* const found = static_cast<const std::uint64_t*>(s.counts_on_host.data());
  return CalibrationCollector::of_key_histogram(
      dtype, std::span<const std::uint64_t, kNumKeys>(found, kNumKeys), batch.shape());
}

}  // namespace cuqat
