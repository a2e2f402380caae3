// Streams, events and the order between them.
#include <algorithm>
#include <chrono>
#include <utility>

#include "device.hpp"
#include "scheduler.hpp"

namespace simt {
namespace {

bool is_blocking(const CUstream_st& stream) { return (stream.flags & cudaStreamNonBlocking) == 0; }

/// The legacy stream and the blocking streams wait for each other.
void wait_for_legacy(Device& d, CUstream_st& stream) {
  if (&stream != &d.legacy_stream) {
    if (is_blocking(stream)) put_before(d.legacy_stream.context, stream.context);
    return;
  }
  for (const auto& other : d.streams) {
    if (!other->destroyed && is_blocking(*other)) put_before(other->context, stream.context);
  }
}

CUstream_st& stream_of_this_thread(Device& d) {
  const std::thread::id thread = std::this_thread::get_id();
  for (const auto& stream : d.streams) {
    if (stream->is_default && stream->thread == thread) return *stream;
  }
  d.streams.push_back(std::make_unique<CUstream_st>());
  d.streams.back()->is_default = true;
  d.streams.back()->thread = thread;
  return *d.streams.back();
}

/// The capture stays broken until it ends.
cudaError_t break_capture(CUstream_st& stream, cudaError_t error) {
  stream.capture_invalidated = true;
  return error;
}

/// The host learns that the event has come, as it always has.
cudaError_t see_event(CUevent_st* event) {
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  if (event->capture != nullptr) {
    for (const auto& stream : device().streams) {
      if (stream->capture == event->capture) stream->capture_invalidated = true;
    }
    return cudaErrorCapturedEvent;
  }
  const cudaError_t refused = refuse_if_capturing();
  if (refused == cudaSuccess) event->clock->acquire();
  return refused;
}

cudaError_t new_event(Device& d, cudaEvent_t* event, unsigned flags) {
  if (event == nullptr) return cudaErrorInvalidValue;
  d.events.push_back(std::make_unique<CUevent_st>());
  d.events.back()->flags = flags;
  *event = d.events.back().get();
  return cudaSuccess;
}

}  // namespace

CUstream_st* find_stream(cudaStream_t stream, const char* caller) {
  Device& d = device();
  if (stream == nullptr || stream == cudaStreamLegacy) return &d.legacy_stream;
  if (stream == cudaStreamPerThread) return &stream_of_this_thread(d);
  return find_handle(d.streams, stream, caller);
}
CUevent_st* find_event(cudaEvent_t event, const char* caller) {
  return find_handle(device().events, event, caller);
}

cudaError_t enqueue(CUstream_st& stream, StreamWork work) {
  if (stream.capture != nullptr) {
    if (stream.capture_invalidated) return cudaErrorStreamCaptureInvalidated;
    stream.capture->steps.push_back(std::move(work));
    return cudaSuccess;
  }
  Device& d = device();
  if (&stream == &d.legacy_stream) {
    for (const auto& other : d.streams) {
      if (other->capture != nullptr && is_blocking(*other)) {
        return break_capture(*other, cudaErrorStreamCaptureImplicit);
      }
    }
  }
  put_before(current_context(), stream.context);
  wait_for_legacy(d, stream);
  work(stream);
  // The stream's threads have read the work; the host has not waited for them.
  const InContext in(stream.context);
  work = nullptr;
  return cudaSuccess;
}

void wait_for(CUstream_st& stream) { put_before(stream.context, current_context()); }

void wait_for_all_streams(Context waiter) {
  Device& d = device();
  const InContext in(waiter);
  wait_for(d.legacy_stream);
  d.destroyed_streams.acquire();
  for (const auto& stream : d.streams) {
    if (!stream->destroyed) wait_for(*stream);
  }
}

cudaError_t refuse_if_capturing() {
  cudaError_t result = cudaSuccess;
  for (const auto& stream : device().streams) {
    const bool forbids = stream->capture_mode == cudaStreamCaptureModeGlobal ||
                         (stream->capture_mode == cudaStreamCaptureModeThreadLocal &&
                          stream->capture_thread == std::this_thread::get_id());
    if (stream->capture != nullptr && forbids) {
      result = break_capture(*stream, cudaErrorStreamCaptureUnsupported);
    }
  }
  return result;
}

}  // namespace simt

using simt::call;
using simt::Device;
using simt::find_event;
using simt::find_stream;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) noexcept {
  return call(cudaErrorMemoryAllocation, [&](Device& d) {
    if (stream == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    d.streams.push_back(std::make_unique<CUstream_st>());
    d.streams.back()->flags = flags;
    d.streams.back()->device = simt::current_device;
    *stream = d.streams.back().get();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) noexcept {
  return simt::release([&](Device& d) {
    CUstream_st* const stream = find_stream(handle, "cudaStreamDestroy");
    if (stream == nullptr || stream->is_default) return cudaErrorInvalidResourceHandle;
    {
      const simt::InContext in(stream->context);
      d.destroyed_streams.release();
    }
    simt::forget_stream(stream->context);
    simt::delete_context(stream->context);
    stream->destroyed = true;
    stream->capture.reset();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device& d) {
    ++d.counters.waits;
    CUstream_st* const stream = find_stream(handle, "cudaStreamSynchronize");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      return simt::break_capture(*stream, cudaErrorStreamCaptureUnsupported);
    }
    const cudaError_t refused = simt::refuse_if_capturing();
    if (refused == cudaSuccess) simt::wait_for(*stream);
    return refused;
  });
}

cudaError_t cudaDeviceSynchronize() noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device& d) {
    ++d.counters.waits;
    // In every mode: the device is waited for with what is being captured.
    cudaError_t refused = cudaSuccess;
    for (const auto& stream : d.streams) {
      if (stream->capture == nullptr) continue;
      refused = simt::break_capture(*stream, cudaErrorStreamCaptureUnsupported);
    }
    if (refused == cudaSuccess) simt::wait_for_all_streams(simt::current_context());
    return refused;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t event_handle,
                                unsigned flags) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device&) {
    CUstream_st* const stream = find_stream(stream_handle, "cudaStreamWaitEvent");
    CUevent_st* const event = find_event(event_handle, "cudaStreamWaitEvent");
    if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    if (event->capture != nullptr && event->capture != stream->capture) {
      simt::note_fault(
          "cudaStreamWaitEvent: the executor does not let a second stream into a "
          "capture");
      return cudaErrorNotSupported;
    }
    if (event->capture != nullptr) return cudaSuccess;  // one stream, already in order
    if (stream->capture != nullptr) {
      return simt::break_capture(*stream, cudaErrorStreamCaptureIsolation);
    }
    const simt::InContext in(stream->context);
    event->clock->acquire();
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) noexcept {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) noexcept {
  return call(cudaErrorMemoryAllocation,
              [&](Device& d) { return simt::new_event(d, event, flags); });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t stream_handle) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device&) {
    CUstream_st* const stream = find_stream(stream_handle, "cudaEventRecord");
    CUevent_st* const event = find_event(event_handle, "cudaEventRecord");
    if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    event->capture = stream->capture;
    return simt::enqueue(*stream, [event](CUstream_st& on) {
      event->recorded = true;
      event->time = std::chrono::steady_clock::now();
      event->clock = std::make_unique<simt::Clock>();
      const simt::InContext in(on.context);
      event->clock->release();
    });
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) noexcept {
  return call(cudaErrorInvalidResourceHandle,
              [&](Device&) { return simt::see_event(find_event(handle, "cudaEventQuery")); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device& d) {
    ++d.counters.waits;
    return simt::see_event(find_event(handle, "cudaEventSynchronize"));
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start_handle,
                                 cudaEvent_t end_handle) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device&) {
    CUevent_st* const start = find_event(start_handle, "cudaEventElapsedTime");
    CUevent_st* const end = find_event(end_handle, "cudaEventElapsedTime");
    if (start == nullptr || end == nullptr || !start->recorded || !end->recorded ||
        ((start->flags | end->flags) & cudaEventDisableTiming) != 0) {
      return cudaErrorInvalidResourceHandle;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) noexcept {
  return simt::release([&](Device&) {
    CUevent_st* const event = find_event(handle, "cudaEventDestroy");
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    event->destroyed = true;
    event->capture.reset();
    return cudaSuccess;
  });
}
