// Stream capture and the graphs it makes: a list of steps, run in the order they were recorded.
#include <utility>

#include "device.hpp"

using simt::call;
using simt::Device;
using simt::find_handle;
using simt::find_stream;

namespace {

template <class Handle>
cudaError_t destroy(const std::vector<std::unique_ptr<Handle>>& handles, Handle* handle,
                    const char* caller) {
  if (simt::find_handle(handles, handle, caller) == nullptr) return cudaErrorInvalidValue;
  handle->destroyed = true;
  handle->work.reset();
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device&) {
    const CUstream_st* const stream = find_stream(handle, "cudaStreamIsCapturing");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    *status = stream->capture == nullptr    ? cudaStreamCaptureStatusNone
              : stream->capture_invalidated ? cudaStreamCaptureStatusInvalidated
                                            : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device& d) {
    CUstream_st* const stream = find_stream(handle, "cudaStreamBeginCapture");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream == &d.legacy_stream) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture != nullptr) return cudaErrorIllegalState;
    stream->capture = std::make_shared<simt::GraphWork>();
    stream->capture_invalidated = false;
    stream->capture_mode = mode;
    stream->capture_thread = std::this_thread::get_id();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) noexcept {
  return call(cudaErrorInvalidResourceHandle, [&](Device& d) {
    CUstream_st* const stream = find_stream(handle, "cudaStreamEndCapture");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    *graph = nullptr;
    if (stream->capture == nullptr) return cudaErrorIllegalState;
    if (stream->capture_mode != cudaStreamCaptureModeRelaxed &&
        stream->capture_thread != std::this_thread::get_id()) {
      return cudaErrorStreamCaptureWrongThread;
    }
    const auto work = std::move(stream->capture);
    stream->capture = nullptr;
    if (std::exchange(stream->capture_invalidated, false)) return cudaErrorStreamCaptureInvalidated;
    d.graphs.push_back(std::make_unique<CUgraph_st>());
    d.graphs.back()->work = work;
    *graph = d.graphs.back().get();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags) noexcept {
  return call(cudaErrorMemoryAllocation, [&](Device& d) {
    if (flags != 0 || find_handle(d.graphs, graph, "cudaGraphInstantiate") == nullptr) {
      return cudaErrorInvalidValue;
    }
    d.graph_execs.push_back(std::make_unique<CUgraphExec_st>());
    d.graph_execs.back()->work = graph->work;
    *exec = d.graph_execs.back().get();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) noexcept {
  return call(cudaErrorLaunchOutOfResources, [&](Device& d) {
    ++d.counters.graph_launches;
    CUstream_st* const stream = find_stream(handle, "cudaGraphLaunch");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (find_handle(d.graph_execs, exec, "cudaGraphLaunch") == nullptr) {
      return cudaErrorInvalidValue;
    }
    return simt::enqueue(*stream, [work = exec->work](CUstream_st& on) {
      for (const StreamWork& step : work->steps) step(on);
    });
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) noexcept {
  return simt::release([&](Device& d) { return destroy(d.graphs, graph, "cudaGraphDestroy"); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) noexcept {
  return simt::release(
      [&](Device& d) { return destroy(d.graph_execs, exec, "cudaGraphExecDestroy"); });
}
