// Device and pinned memory: from the heap, so that AddressSanitizer watches its ends.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "device.hpp"

namespace simt {
namespace {

using Entry = std::map<std::uintptr_t, Allocation>::iterator;

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// The allocation that holds the byte, or the end.
Entry find_allocation(Device& d, const void* pointer) {
  Entry entry = d.allocations.upper_bound(address_of(pointer));
  if (entry == d.allocations.begin()) return d.allocations.end();
  --entry;
  return address_of(pointer) - entry->first < entry->second.bytes ? entry : d.allocations.end();
}

bool is_device_memory(Device& d, const void* pointer) {
  const Entry entry = find_allocation(d, pointer);
  return entry != d.allocations.end() && entry->second.type == cudaMemoryTypeDevice;
}

/// True if the bytes lie in one device allocation (or, for host memory, in none or in one).
bool holds(Device& d, const void* pointer, std::size_t bytes, bool on_device) {
  const Entry entry = find_allocation(d, pointer);
  if (entry == d.allocations.end()) return !on_device;
  return (entry->second.type == cudaMemoryTypeDevice) == on_device &&
         bytes <= entry->second.bytes - (address_of(pointer) - entry->first);
}

/// Checked when it is freed, and taken from the books; the memory itself goes with `context`.
cudaError_t free_memory(Device& d, void* pointer, cudaMemoryType type, Context context,
                        const char* caller) {
  if (pointer == nullptr) return cudaSuccess;
  const auto entry = d.allocations.find(address_of(pointer));
  if (entry == d.allocations.end() || entry->second.type != type || entry->second.in_graph) {
    note_fault(std::string(caller) + ": the address is not that of an allocation of its kind");
    return cudaErrorInvalidValue;
  }
  d.allocations.erase(entry);
  const InContext in(context);
  std::free(pointer);
  return cudaSuccess;
}

/// The memory comes from `context`: others must come after it.
cudaError_t new_memory(Device& d, void** pointer, std::size_t bytes, cudaMemoryType type,
                       Context context) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  {
    const InContext in(context);
    // cudaMalloc aligns to 256 bytes, and kernels may rely on it.
    if (posix_memalign(pointer, 256, bytes) != 0) return cudaErrorMemoryAllocation;
    std::memset(*pointer, 0xCD, bytes);
  }
  d.allocations[address_of(*pointer)] = {bytes, type};
  return cudaSuccess;
}

cudaError_t copy(Device& d, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                 CUstream_st& stream) {
  ++d.counters.copies;
  if (bytes == 0) return cudaSuccess;
  const bool infer = kind == cudaMemcpyDefault;
  const bool to_device = infer ? is_device_memory(d, to)
                               : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = infer
                               ? is_device_memory(d, from)
                               : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!holds(d, to, bytes, to_device) || !holds(d, from, bytes, from_device)) {
    note_fault("a copy of " + std::to_string(bytes) +
               " bytes leaves its allocation, or goes another way than its kind says");
    return cudaErrorInvalidValue;
  }
  const std::uintptr_t apart =
      std::max(address_of(to), address_of(from)) - std::min(address_of(to), address_of(from));
  if (apart < bytes) {
    note_fault("a copy of " + std::to_string(bytes) + " bytes overlaps itself");
    return cudaErrorInvalidValue;
  }
  return enqueue(stream, [=](CUstream_st& on) {
    const InContext in(on.context);
    std::memcpy(to, from, bytes);
  });
}

bool is_pageable(Device& d, const void* pointer) {
  return find_allocation(d, pointer) == d.allocations.end();
}

/// The host goes on as soon as the source has been read: the device need not have it all by then.
cudaError_t copy_from_pageable(Device& d, void* to, const void* from, std::size_t bytes,
                               cudaMemcpyKind kind) {
  const auto* const begin = static_cast<const std::byte*>(from);
  auto staged = std::make_unique<std::vector<std::byte>>(begin, begin + bytes);
  const cudaError_t error = copy(d, to, staged->data(), bytes, kind, d.legacy_stream);
  // The stream is the last to have the staged bytes, also where it was not given the copy.
  put_before(current_context(), d.legacy_stream.context);
  const InContext in(d.legacy_stream.context);
  staged.reset();
  return error;
}

cudaError_t set(Device& d, void* pointer, int value, std::size_t bytes, CUstream_st& stream) {
  ++d.counters.memsets;
  if (bytes == 0) return cudaSuccess;
  const bool on_device = is_device_memory(d, pointer);
  if (find_allocation(d, pointer) == d.allocations.end() || !holds(d, pointer, bytes, on_device)) {
    note_fault("a memset of " + std::to_string(bytes) + " bytes leaves its allocation");
    return cudaErrorInvalidValue;
  }
  return enqueue(stream, [=](CUstream_st& on) {
    const InContext in(on.context);
    std::memset(pointer, value, bytes);
  });
}

}  // namespace

GraphWork::~GraphWork() {
  // A graph may be destroyed while it runs, so this waits for it, but not on the host's behalf.
  static const Context waiter = new_context();
  wait_for_all_streams(waiter);
  const InContext in(waiter);
  steps.clear();
  for (void* const pointer : memory) {
    device().allocations.erase(address_of(pointer));
    std::free(pointer);
  }
}

bool are_on_device(const void* data, std::size_t bytes) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  return bytes == 0 || holds(d, data, bytes, true);
}

}  // namespace simt

using simt::Device;

namespace {

cudaError_t allocate(void** pointer, size_t bytes, cudaMemoryType type) noexcept {
  return simt::call(cudaErrorMemoryAllocation, [&](Device& d) {
    ++d.counters.allocations;
    const cudaError_t refused = simt::refuse_if_capturing();
    if (refused != cudaSuccess) return refused;
    return simt::new_memory(d, pointer, bytes, type, simt::current_context());
  });
}

cudaError_t free_after_all_work(void* pointer, cudaMemoryType type, const char* caller) noexcept {
  return simt::release([&](Device& d) {
    ++d.counters.frees;
    const cudaError_t refused = simt::refuse_if_capturing();
    if (refused != cudaSuccess) return refused;
    simt::wait_for_all_streams(simt::current_context());
    return simt::free_memory(d, pointer, type, simt::current_context(), caller);
  });
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) noexcept {
  return allocate(pointer, bytes, cudaMemoryTypeDevice);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) noexcept {
  return allocate(pointer, bytes, cudaMemoryTypeHost);
}
cudaError_t cudaFree(void* pointer) noexcept {
  return free_after_all_work(pointer, cudaMemoryTypeDevice, "cudaFree");
}
cudaError_t cudaFreeHost(void* pointer) noexcept {
  return free_after_all_work(pointer, cudaMemoryTypeHost, "cudaFreeHost");
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t handle) noexcept {
  return simt::call(cudaErrorMemoryAllocation, [&](Device& d) {
    ++d.counters.async_allocations;
    CUstream_st* const stream = simt::find_stream(handle, "cudaMallocAsync");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture_invalidated) return cudaErrorStreamCaptureInvalidated;
    if (stream->capture == nullptr) {
      simt::put_before(simt::current_context(), stream->context);
      return simt::new_memory(d, pointer, bytes, cudaMemoryTypeDevice, stream->context);
    }
    const cudaError_t error =
        simt::new_memory(d, pointer, bytes, cudaMemoryTypeDevice, simt::current_context());
    if (error != cudaSuccess || *pointer == nullptr) return error;
    // The graph owns the memory, and each of its launches finds it without content.
    d.allocations.at(simt::address_of(*pointer)).in_graph = true;
    stream->capture->memory.push_back(*pointer);
    return simt::enqueue(*stream, [memory = *pointer, bytes](CUstream_st& on) {
      const simt::InContext in(on.context);
      std::memset(memory, 0xCD, bytes);
    });
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) noexcept {
  return simt::release([&](Device& d) {
    ++d.counters.async_frees;
    if (pointer == nullptr) return cudaSuccess;
    CUstream_st* const stream = simt::find_stream(handle, "cudaFreeAsync");
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const auto entry = d.allocations.find(simt::address_of(pointer));
    if (stream->capture != nullptr && entry != d.allocations.end() && entry->second.in_graph) {
      return simt::enqueue(*stream, [pointer, bytes = entry->second.bytes](CUstream_st& on) {
        const simt::InContext in(on.context);
        std::memset(pointer, 0xCD, bytes);
      });
    }
    if (stream->capture != nullptr) {
      simt::note_fault("cudaFreeAsync under capture of memory allocated outside it");
      return cudaErrorInvalidValue;
    }
    simt::put_before(simt::current_context(), stream->context);
    return simt::free_memory(d, pointer, cudaMemoryTypeDevice, stream->context, "cudaFreeAsync");
  });
}

// Of a device of 16 GiB; nothing is refused that the host's memory holds.
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) noexcept {
  return simt::query([&](Device& d) {
    *total = std::size_t{16} << 30;
    *free = *total;
    for (const auto& [address, allocation] : d.allocations) {
      if (allocation.type == cudaMemoryTypeDevice) *free -= std::min(*free, allocation.bytes);
    }
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes,
                                     const void* pointer) noexcept {
  return simt::query([&](Device& d) {
    *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, const_cast<void*>(pointer)};
    const auto entry = simt::find_allocation(d, pointer);
    if (entry == d.allocations.end()) return cudaSuccess;
    const bool on_device = entry->second.type == cudaMemoryTypeDevice;
    *attributes = {entry->second.type, entry->second.device, const_cast<void*>(pointer),
                   on_device ? nullptr : const_cast<void*>(pointer)};
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) noexcept {
  return simt::call(cudaErrorInvalidValue, [&](Device& d) {
    const bool to_device = simt::is_device_memory(d, to);
    const bool waits = !to_device || !simt::is_device_memory(d, from);  // else the host has no part
    if (waits) ++d.counters.waits;
    const cudaError_t refused = simt::refuse_if_capturing();
    if (refused != cudaSuccess) return refused;
    if (to_device && simt::is_pageable(d, from)) {
      return simt::copy_from_pageable(d, to, from, bytes, kind);
    }
    const cudaError_t error = simt::copy(d, to, from, bytes, kind, d.legacy_stream);
    if (waits) simt::wait_for(d.legacy_stream);
    return error;
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) noexcept {
  return simt::call(cudaErrorInvalidValue, [&](Device& d) {
    CUstream_st* const stream = simt::find_stream(handle, "cudaMemcpyAsync");
    return stream == nullptr ? cudaErrorInvalidResourceHandle
                             : simt::copy(d, to, from, bytes, kind, *stream);
  });
}
cudaError_t cudaMemset(void* pointer, int value, size_t bytes) noexcept {
  return simt::call(cudaErrorInvalidValue, [&](Device& d) {
    const cudaError_t refused = simt::refuse_if_capturing();
    return refused != cudaSuccess ? refused : simt::set(d, pointer, value, bytes, d.legacy_stream);
  });
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t handle) noexcept {
  return simt::call(cudaErrorInvalidValue, [&](Device& d) {
    CUstream_st* const stream = simt::find_stream(handle, "cudaMemsetAsync");
    return stream == nullptr ? cudaErrorInvalidResourceHandle
                             : simt::set(d, pointer, value, bytes, *stream);
  });
}
