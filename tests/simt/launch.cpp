// Kernel launches: the limits of the hardware, then the scheduler.
#include <algorithm>
#include <climits>
#include <utility>

#include "arena.hpp"
#include "device.hpp"
#include "scheduler.hpp"

namespace simt {
namespace {

/// What is wrong with the launch's extents, or null.
const char* wrong_extent(dim3 blocks, dim3 threads) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return "the grid has an extent of zero";
  if (threads.x == 0 || threads.y == 0 || threads.z == 0) return "the block has an extent of zero";
  if (blocks.x > INT_MAX) return "gridDim.x exceeds 2^31 - 1";
  if (blocks.y > 65535 || blocks.z > 65535) return "gridDim.y or .z exceeds 65535";
  if (threads.x > kMaxThreads || threads.y > kMaxThreads) return "blockDim.x or .y exceeds 1024";
  if (threads.z > 64) return "blockDim.z exceeds 64";
  // Up to 2^26: no overflow.
  if (threads.x * threads.y * threads.z > kMaxThreads) return "the block exceeds 1024 threads";
  return nullptr;
}

std::size_t shared_limit(const Device& d, const void* kernel) {
  const auto raised = d.shared_limits.find(kernel);
  return raised == d.shared_limits.end() ? kDefaultSharedBytes : raised->second;
}

bool wants_cooperative(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0) {
      return true;
    }
  }
  return false;
}

void run(const Grid& grid, CUstream_st& stream) {
  Device& d = device();
  const std::uint64_t number = d.num_kernels++;
  if (d.broken) return;  // the rest of a graph
  const std::string fault = Scheduler(grid, d.order, number, stream.context).run();
  if (fault.empty()) return;
  note_fault(fault);
  d.broken = true;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> thread_body) noexcept {
  return call(cudaErrorLaunchOutOfResources, [&](Device& d) {
    ++d.counters.launches;
    const std::string prefix = "launch " + std::to_string(d.num_kernels) + ": ";
    if (const char* const wrong = wrong_extent(config->gridDim, config->blockDim)) {
      note_fault(prefix + wrong);
      return cudaErrorInvalidConfiguration;
    }
    if (config->dynamicSmemBytes > shared_limit(d, kernel)) {
      note_fault(prefix + std::to_string(config->dynamicSmemBytes) +
                 " bytes of shared memory, but the kernel's limit is " +
                 std::to_string(shared_limit(d, kernel)));
      return cudaErrorInvalidValue;
    }
    if (wants_cooperative(*config)) {
      note_fault(prefix + "the executor runs one block after another, so no cooperative launch");
      return cudaErrorNotSupported;
    }
    CUstream_st* const stream = find_stream(config->stream, "a launch");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (!stream->is_default && stream->device != current_device) {
      note_fault(prefix + "the stream is on device " + std::to_string(stream->device) +
                 ", and the current one is " + std::to_string(current_device));
      return cudaErrorInvalidResourceHandle;
    }
    const dim3& blocks = config->gridDim;
    d.counters.largest_grid =
        std::max(d.counters.largest_grid, static_cast<int>(blocks.x * blocks.y * blocks.z));
    Grid grid{config->gridDim, config->blockDim, config->dynamicSmemBytes, std::move(thread_body)};
    return enqueue(*stream, [grid = std::move(grid)](CUstream_st& on) { run(grid, on); });
  });
}

}  // namespace simt

using simt::Device;

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) noexcept {
  return simt::query([&](Device& d) {
    *attributes = {0, static_cast<int>(simt::kMaxThreads),
                   static_cast<int>(simt::shared_limit(d, kernel))};
    return d.kernel_error;
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute,
                                 int value) noexcept {
  return simt::call(cudaErrorInvalidValue, [&](Device& d) {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) {
      return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<std::size_t>(value) > d.max_shared_bytes) {
      return cudaErrorInvalidValue;
    }
    d.shared_limits[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* num_blocks, const void* kernel,
                                                          int block_size,
                                                          size_t dynamic_smem_bytes) noexcept {
  return simt::query([&](Device& d) {
    if (block_size < 1 || block_size > static_cast<int>(simt::kMaxThreads)) {
      return cudaErrorInvalidValue;
    }
    // Nothing is known of registers: a small number, so that grids loop.
    *num_blocks = dynamic_smem_bytes <= simt::shared_limit(d, kernel) ? 2 : 0;
    return cudaSuccess;
  });
}
