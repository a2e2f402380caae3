// Tensors whose elements of a scale lie together.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace cuqat::gpu {

/// Where the elements of each scale lie, once those of a scale lie together.
struct SegmentLayout {
  std::int64_t row_length;  ///< Of tensors in groups; else that of a segment.
  std::int64_t segments_per_row;
  std::int64_t segment_length;  ///< The last of a row may be shorter.

  __host__ __device__ std::int64_t begin(std::int64_t segment) const {
    return segment / segments_per_row * row_length + segment % segments_per_row * segment_length;
  }
  __host__ __device__ std::int64_t end(std::int64_t segment) const {
    const std::int64_t row_end = (segment / segments_per_row + 1) * row_length;
    const std::int64_t full = begin(segment) + segment_length;
    return full < row_end ? full : row_end;
  }
};

}  // namespace cuqat::gpu
