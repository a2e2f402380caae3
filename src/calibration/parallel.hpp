// A loop over independent items on several threads, with exceptions carried out of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include "cuqat/backend.hpp"

namespace cuqat::calibration {

/// Calls body(i) for i in [0, count). The first exception stops further items and is thrown here.
template <typename Body>
void parallel_for(std::int64_t count, const HostOptions& options, Body body) {
  std::exception_ptr error;
  bool stop = false;
  const auto threads = static_cast<int>(std::clamp<std::int64_t>(count, 1, num_threads(options)));
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (count > 1)
  for (std::int64_t i = 0; i < count; ++i) {
    bool skip = false;
#pragma omp atomic read
    skip = stop;
    if (skip) continue;
    try {
      body(i);
    } catch (...) {
#pragma omp critical(cuqat_parallel_for)
      if (!error) error = std::current_exception();
#pragma omp atomic write
      stop = true;
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace cuqat::calibration
