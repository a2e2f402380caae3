// What a DeviceContext holds.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <source_location>

#include "cuqat/device_context.hpp"
#include "device/memory.hpp"
#include "launchers.hpp"

namespace cuqat {

namespace gpu {
class Multiplier;
}  // namespace gpu

struct DeviceContext::State {
  explicit State(const Options& options);

  /// `operation` is the function that asks.
  /// @throws InvalidArgument where another device than the context's is current.
  void check_is_current(std::source_location operation = std::source_location::current()) const;
  /// @throws the same.
  [[nodiscard]] gpu::LaunchTarget target(
      StreamRef stream, std::source_location operation = std::source_location::current()) const;

  /// To ask what a launch would take.
  /// @throws the same.
  [[nodiscard]] gpu::LaunchTarget target_without_stream(
      std::source_location operation = std::source_location::current()) const;

  int device = 0;
  int num_multiprocessors = 1;
  std::size_t max_shared_bytes = 0;
  bool check_pointers = true;
  std::size_t workspace_bytes = 0;
  /// What reductions take, which is zero between them, and behind it workspace_bytes.
  detail::DeviceMemory workspace;

  /// 10 times the major number and the minor one.
  int compute_capability = 0;
  std::size_t gemm_workspace_bytes = 0;
  bool tunes_products = true;
  /// Made by the first product, with its workspace. A context serves one thread at a time.
  mutable detail::DeviceMemory gemm_workspace;
  mutable std::shared_ptr<gpu::Multiplier> multiplier;
};

}  // namespace cuqat
