// Device memory of contexts, batches and collectors.
#pragma once

#include <cstddef>
#include <source_location>
#include <span>

namespace cuqat::detail {

/// Filled when it is made, on a stream of its own: it waits for that and for no other work, and
/// work on any stream finds it filled.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Zero bytes.
  explicit DeviceMemory(std::size_t bytes,
                        std::source_location operation = std::source_location::current());
  /// A copy.
  explicit DeviceMemory(std::span<const std::byte> content,
                        std::source_location operation = std::source_location::current());
  ~DeviceMemory();
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;

  [[nodiscard]] void* data() const noexcept { return data_; }

 private:
  void* data_ = nullptr;
};

/// Host memory that the device copies from and to by itself. Not filled.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes,
                        std::source_location operation = std::source_location::current());
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  [[nodiscard]] void* data() const noexcept { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace cuqat::detail
