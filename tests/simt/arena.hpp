// The shared memory of the block that runs: what kernels call cuqat_shared_memory.
#pragma once

#include <cstddef>

namespace simt {

inline constexpr std::size_t kDefaultSharedBytes = std::size_t{48} << 10;
inline constexpr std::size_t kMaxSharedBytes = std::size_t{227} << 10;

/// Filled with 0xCD, so that a kernel that relies on zeros shows it. All but `bytes` is out of
/// bounds under AddressSanitizer.
void begin_shared_memory(std::size_t bytes);
/// All of it is out of bounds: host code has no business there.
void end_shared_memory();

}  // namespace simt
