#include "device/multiplier.hpp"

#include <memory>
#include <utility>

#include "check.hpp"
#include "cuqat/device_gemm.hpp"
#include "host/arguments.hpp"

namespace cuqat {
namespace {

/// Of devices that cuBLASLt makes products on alike.
std::uint64_t device_kind(const DeviceContext::State& state, std::source_location operation) {
  int num_multiprocessors = 0;
  gpu::check(
      cudaDeviceGetAttribute(&num_multiprocessors, cudaDevAttrMultiProcessorCount, state.device),
      "cudaDeviceGetAttribute", operation);
  return std::uint64_t{1'000'000} * static_cast<std::uint64_t>(state.compute_capability) +
         static_cast<std::uint64_t>(num_multiprocessors);
}

/// Makes it where the context has none. Allocates, and waits for that but for no stream.
gpu::Multiplier& any_multiplier(const DeviceContext::State& state, std::source_location operation) {
  if (state.multiplier == nullptr) {
    detail::DeviceMemory workspace;
    if (state.gemm_workspace_bytes > 0) {
      workspace = detail::DeviceMemory(state.gemm_workspace_bytes, operation);
    }
    state.multiplier = std::make_shared<gpu::Multiplier>(
        gpu::Multiplier::Options{workspace.data(), state.gemm_workspace_bytes, state.tunes_products,
                                 device_kind(state, operation)},
        operation);
    state.gemm_workspace = std::move(workspace);
  }
  return *state.multiplier;
}

}  // namespace

namespace detail {

gpu::Multiplier& multiplier(const DeviceContext::State& state, const gpu::LaunchTarget& target) {
  if (state.multiplier == nullptr) {
    cudaStreamCaptureStatus status{};
    gpu::check(cudaStreamIsCapturing(target.stream, &status), "cudaStreamIsCapturing",
               target.operation);
    if (status != cudaStreamCaptureStatusNone) {
      throw_invalid("stream", "captured",
                    "one that is not at the first product of a context, which allocates");
    }
  }
  return any_multiplier(state, target.operation);
}

}  // namespace detail

std::vector<std::byte> save_product_plans(const DeviceContext& context) {
  const gpu::LaunchTarget target = context.state().target_without_stream();
  return any_multiplier(context.state(), target.operation).save();
}

void load_product_plans(std::span<const std::byte> plans, const DeviceContext& context) {
  const gpu::LaunchTarget target = context.state().target_without_stream();
  any_multiplier(context.state(), target.operation).restore(plans, target.operation);
}

}  // namespace cuqat
