#include "cli/progress.hpp"

#include <unistd.h>

#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "cli/text.hpp"

namespace cuqat::cli {
namespace {

constexpr std::chrono::seconds kPatience{1};
constexpr std::int64_t kBarWidth = 30;
constexpr int kLabelWidth = 40;
constexpr std::string_view kClearLine = "\r\033[K";

}  // namespace

Progress::Progress(std::int64_t total, bool enabled)
    : total_(total), enabled_(enabled && total > 0 && isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (visible_) std::fwrite(kClearLine.data(), 1, kClearLine.size(), stderr);
}

void Progress::advance(std::int64_t amount, std::string_view next) {
  done_ += amount;
  if (!enabled_ || std::chrono::steady_clock::now() - start_ < kPatience) return;
  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  const std::string line =
      fmt::format("{}[{:<{}}] {:3.0f} %  {}", kClearLine, std::string(filled, '='), kBarWidth,
                  share * 100.0, shortened(printable(next), kLabelWidth));
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  visible_ = true;
}

}  // namespace cuqat::cli
