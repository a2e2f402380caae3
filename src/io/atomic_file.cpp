#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

namespace cuqat::io {
namespace {

constexpr std::size_t kLargestWrite = std::size_t{1} << 30;
constexpr int kMaxTemporaryNames = 1000;
constexpr const char* kOpenFiles = "/proc/self/fd";

std::filesystem::path folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_path_(path) {
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) fail("cannot write");
  if (exists && S_ISDIR(status.st_mode)) throw FileError(path_, "is a directory; cannot write");
  if (exists && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode))) {
    descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("cannot open to write");
    return;
  }
  if (exists && !S_ISREG(status.st_mode)) throw FileError(path_, "is no regular file");
  std::error_code no_link;
  if (exists || std::filesystem::is_symlink(path, no_link)) {
    const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr),
                                                               &std::free);
    if (resolved == nullptr) fail("cannot follow the link");
    target_path_ = resolved.get();
  }
  // A rename asks only the directory; a write-protected file is one the user wants kept.
  if (exists && faccessat(AT_FDCWD, target_path_.c_str(), W_OK, AT_EACCESS) != 0) {
    fail("cannot write");
  }
  create_temporary();
  // Replacing a private file must not publish it.
  if (exists && fchmod(descriptor_, status.st_mode & 0777) != 0) {
    const int error_number = errno;
    discard();
    errno = error_number;
    fail("cannot set the permissions");
  }
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_path_(std::move(other.target_path_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      is_unnamed_(std::exchange(other.is_unnamed_, false)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile::~AtomicFile() { discard(); }

template <typename Create>
void AtomicFile::take_name(const Create& create) {
  const std::filesystem::path directory = folder_of(target_path_);
  const std::string stem = ".cuqat-" + std::to_string(getpid()) + "-";
  for (int i = 0; i < kMaxTemporaryNames; ++i) {
    std::string name = (directory / (stem + std::to_string(i) + ".tmp")).string();
    if (create(name.c_str())) {
      temporary_path_ = std::move(name);
      return;
    }
    if (errno != EEXIST) break;
  }
  fail("cannot create a file in " + in_quotes(directory.string()));
}

void AtomicFile::create_temporary() {
  // It gets its name through /proc.
  if (access(kOpenFiles, X_OK) == 0) {
    descriptor_ = open(folder_of(target_path_).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
    is_unnamed_ = descriptor_ >= 0;
    if (is_unnamed_) return;
  }
  take_name([this](const char* name) {
    descriptor_ = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return descriptor_ >= 0;
  });
}

void AtomicFile::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(descriptor_, data.data(), std::min(data.size(), kLargestWrite));
    if (written > 0) {
      data = data.subspan(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      fail("cannot write");
    }
  }
}

void AtomicFile::commit() {
  const bool is_file = is_unnamed_ || !temporary_path_.empty();
  if (is_file && fsync(descriptor_) != 0) fail("cannot write");
  if (is_unnamed_) {
    const std::string open_file = std::string(kOpenFiles) + "/" + std::to_string(descriptor_);
    take_name([&](const char* name) {
      return linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
    });
    is_unnamed_ = false;
  }
  if (close(std::exchange(descriptor_, -1)) != 0) fail("cannot write");
  if (!is_file) return;
  if (rename(temporary_path_.c_str(), target_path_.c_str()) != 0) {
    fail("cannot rename the finished file");
  }
  temporary_path_.clear();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
  temporary_path_.clear();
}

void AtomicFile::fail(std::string_view what) const {
  throw FileError(path_, system_problem(what, errno));
}

void write_text_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace cuqat::io
