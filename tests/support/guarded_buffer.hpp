// Memory between two guard zones, at any byte offset.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace cuqat::test {

/// `size` bytes that start `offset` bytes after a multiple of 64, with guards on both sides. The
/// bytes start as `fill`, so that two buffers of different fill show what was not written.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(std::size_t size, std::size_t offset = 0, std::byte fill = std::byte{0xa5})
      : storage_(size + offset + 2 * kGuardBytes + kAlignment, kGuard), size_(size) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data()) + kGuardBytes;
    begin_ = kGuardBytes + (kAlignment - address % kAlignment) % kAlignment + offset;
    std::fill_n(data(), size, fill);
  }
  GuardedBuffer(std::span<const std::byte> content, std::size_t offset)
      : GuardedBuffer(content.size(), offset) {
    std::copy(content.begin(), content.end(), data());
  }

  [[nodiscard]] std::byte* data() noexcept { return storage_.data() + begin_; }
  [[nodiscard]] std::uint8_t* bytes() noexcept { return reinterpret_cast<std::uint8_t*>(data()); }
  [[nodiscard]] std::vector<std::byte> content() const {
    const auto first = storage_.begin() + static_cast<std::ptrdiff_t>(begin_);
    return {first, first + static_cast<std::ptrdiff_t>(size_)};
  }
  [[nodiscard]] bool holds(std::span<const std::byte> expected) const {
    return expected.size() == size_ &&
           std::equal(expected.begin(), expected.end(),
                      storage_.begin() + static_cast<std::ptrdiff_t>(begin_));
  }
  /// True where no byte outside was written.
  [[nodiscard]] bool guards_intact() const {
    const auto intact = [](std::byte byte) { return byte == kGuard; };
    const auto first = storage_.begin() + static_cast<std::ptrdiff_t>(begin_);
    return std::all_of(storage_.begin(), first, intact) &&
           std::all_of(first + static_cast<std::ptrdiff_t>(size_), storage_.end(), intact);
  }

 private:
  static constexpr std::size_t kGuardBytes = 128;
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::byte kGuard{0x5c};

  std::vector<std::byte> storage_;
  std::size_t size_;
  std::size_t begin_ = 0;
};

}  // namespace cuqat::test
