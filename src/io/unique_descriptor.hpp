// A file descriptor that is closed with its owner.
#pragma once

#include <unistd.h>

namespace cuqat::io {

class UniqueDescriptor {
 public:
  explicit UniqueDescriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  UniqueDescriptor(const UniqueDescriptor&) = delete;
  UniqueDescriptor& operator=(const UniqueDescriptor&) = delete;
  ~UniqueDescriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  /// Negative where there is none.
  [[nodiscard]] int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace cuqat::io
