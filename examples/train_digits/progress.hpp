// A line that says how far the work is, on a terminal only.
#pragma once

#include <cstdint>
#include <cstdio>
#include <mutex>

class Progress {
 public:
  explicit Progress(int total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// One of `total` is done. From any thread.
  void advance(const char* format, std::uint64_t seed);

 private:
  int total_;
  int done_ = 0;
  bool is_shown_;
  std::mutex mutex_;
};
