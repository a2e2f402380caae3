// The size of a warp, and the mask that names all of it.
#pragma once

namespace cuqat::gpu {

inline constexpr int kWarpThreads = 32;
inline constexpr unsigned kWholeWarp = 0xffff'ffffu;

}  // namespace cuqat::gpu
