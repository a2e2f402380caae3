#include "progress.hpp"

#include <unistd.h>

Progress::Progress(int total) : total_(total), is_shown_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (is_shown_) std::fprintf(stderr, "\r\033[K");
}

void Progress::advance(const char* format, std::uint64_t seed) {
  if (!is_shown_) return;
  const std::lock_guard lock(mutex_);
  ++done_;
  std::fprintf(stderr, "\r\033[K%3d%%  epoch %d of %d: %s, seed %llu", 100 * done_ / total_, done_,
               total_, format, static_cast<unsigned long long>(seed));
}
