#include "io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/unique_descriptor.hpp"

namespace cuqat::io {
namespace {

constexpr std::size_t kFirstBuffer = std::size_t{1} << 20;
constexpr std::size_t kLargestRead = std::size_t{1} << 30;

}  // namespace

MappedFile::~MappedFile() {
  if (mapped_bytes_ != 0) munmap(data_, mapped_bytes_);
}

void MappedFile::swap(MappedFile& other) noexcept {
  std::swap(display_name_, other.display_name_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(file_backed_, other.file_backed_);
}

MappedFile MappedFile::open(const std::string& path, const SizeOf& size_of) {
  const bool is_stdin = path == "-";
  const std::string name = is_stdin ? "standard input" : path;
  UniqueDescriptor opened(is_stdin ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!is_stdin && opened.get() < 0) throw FileError(name, system_problem("cannot open", errno));
  const int descriptor = is_stdin ? STDIN_FILENO : opened.get();

  struct stat status {};
  if (fstat(descriptor, &status) != 0) {
    throw FileError(name, system_problem("cannot open", errno));
  }
  if (S_ISDIR(status.st_mode)) throw FileError(name, "is a directory; a file is needed");
  if (S_ISREG(status.st_mode) && lseek(descriptor, 0, SEEK_CUR) == 0) {
    MappedFile file;
    file.display_name_ = name;
    file.map(descriptor, static_cast<std::size_t>(status.st_size));
    return file;
  }
  if (!is_stdin && !S_ISFIFO(status.st_mode)) {
    throw FileError(name, "is neither a file nor a pipe");
  }
  return read_all(descriptor, name, size_of);
}

void MappedFile::map(int descriptor, std::size_t size) {
  if (size == 0) return;  // The system maps no empty range.
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) {
    throw FileError(display_name_,
                    system_problem("cannot map " + std::to_string(size) + " bytes", errno));
  }
  data_ = static_cast<std::byte*>(address);
  size_ = mapped_bytes_ = size;
  file_backed_ = true;
}

MappedFile MappedFile::read_all(int descriptor, std::string display_name, const SizeOf& size_of) {
  MappedFile file;
  file.display_name_ = std::move(display_name);
  const auto fail = [&](const std::string& what) {
    throw FileError(file.display_name_, system_problem(what, errno));
  };
  // A mapping grows without a copy, and only the pages that were written take memory.
  void* address =
      mmap(nullptr, kFirstBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) fail("cannot hold " + std::to_string(kFirstBuffer) + " bytes");
  file.data_ = static_cast<std::byte*>(address);
  file.mapped_bytes_ = kFirstBuffer;
  std::optional<std::size_t> size;
  while (true) {
    if (size_of && !size) size = size_of(file.bytes(), file.display_name_);
    if (size && file.size_ > *size) return file;
    if (file.size_ == file.mapped_bytes_) {
      const std::size_t grown = file.mapped_bytes_ * 2;
      address = mremap(file.data_, file.mapped_bytes_, grown, MREMAP_MAYMOVE);
      if (address == MAP_FAILED) fail("cannot hold " + std::to_string(grown) + " bytes");
      file.data_ = static_cast<std::byte*>(address);
      file.mapped_bytes_ = grown;
    }
    const std::size_t room = std::min(file.mapped_bytes_ - file.size_, kLargestRead);
    const ssize_t got = read(descriptor, file.data_ + file.size_, room);
    if (got == 0) return file;
    if (got > 0) {
      file.size_ += static_cast<std::size_t>(got);
    } else if (errno != EINTR) {
      fail("cannot read after " + std::to_string(file.size_) + " bytes");
    }
  }
}

void MappedFile::release(std::size_t offset, std::size_t length) const noexcept {
  // Dropping a page of what was read from a pipe would lose it.
  if (!file_backed_ || offset >= size_) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const bool to_the_end = length >= size_ - offset;
  const std::size_t end = to_the_end ? size_ : (offset + length) / page * page;
  const std::size_t begin = (offset + page - 1) / page * page;
  if (begin < end) madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace cuqat::io
