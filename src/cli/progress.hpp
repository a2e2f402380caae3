// A progress bar on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace cuqat::cli {

/// Shown only where standard error is a terminal, and only after a second of work. Removes itself.
class Progress {
 public:
  Progress(std::int64_t total, bool enabled);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `amount` of the total is done; `next` is what comes now.
  void advance(std::int64_t amount, std::string_view next);

 private:
  std::int64_t total_;
  std::int64_t done_ = 0;
  bool enabled_;
  bool visible_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace cuqat::cli
