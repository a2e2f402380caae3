// The stream that device work is ordered on.
#pragma once

#include <cstddef>

#include "cuqat/error.hpp"

struct CUstream_st;  // what a cudaStream_t points to

namespace cuqat {

/// A cudaStream_t that somebody else owns. Device functions take one as their last argument, with
/// no default: work is never put on a stream that the caller did not name.
class StreamRef {
 public:
  /// @throws InvalidArgument for a null stream. The default streams are cudaStreamLegacy and
  ///         cudaStreamPerThread.
  StreamRef(CUstream_st* stream) : stream_(stream) {  // NOLINT(google-explicit-constructor)
    if (stream == nullptr) throw InvalidArgument("stream is null; it must be a stream");
  }
  StreamRef(int) = delete;             // 0
  StreamRef(std::nullptr_t) = delete;  // NOLINT(google-explicit-constructor)

  [[nodiscard]] CUstream_st* get() const noexcept { return stream_; }

 private:
  CUstream_st* stream_;
};

}  // namespace cuqat
