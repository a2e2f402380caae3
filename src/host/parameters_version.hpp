// What tells the states of layers' parameters apart.
#pragma once

#include <atomic>
#include <cstdint>

namespace cuqat::detail {

/// A number that nobody has had before; never 0.
inline std::uint64_t next_parameters_version() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace cuqat::detail
