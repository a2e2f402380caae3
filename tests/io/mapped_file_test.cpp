#include "io/mapped_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "support.hpp"

namespace cuqat::io::testing {
namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 >> 3 & 0xff);
  return text;
}

// A pipe whose other end is fed by a thread.
class FedPipe {
 public:
  explicit FedPipe(std::string text) {
    if (pipe(ends_.data()) != 0) throw std::runtime_error("pipe");
    feeder_ = std::thread([text = std::move(text), out = ends_[1]] {
      std::string_view rest = text;
      while (!rest.empty()) {
        const ssize_t written = write(out, rest.data(), rest.size());
        if (written <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(written));
      }
      close(out);
    });
  }
  ~FedPipe() {
    feeder_.join();
    close(ends_[0]);
  }
  FedPipe(const FedPipe&) = delete;
  FedPipe& operator=(const FedPipe&) = delete;
  [[nodiscard]] int read_end() const { return ends_[0]; }

 private:
  std::array<int, 2> ends_{};
  std::thread feeder_;
};

TEST(MappedFile, HoldsTheBytesOfTheFile) {
  const ScratchFolder folder;
  const std::string text = pattern(100'003);
  write_file(folder.file("f"), text);
  const MappedFile file = MappedFile::open(folder.file("f"));
  EXPECT_EQ(text_of(file.bytes()), text);
  EXPECT_EQ(file.display_name(), folder.file("f"));
}

TEST(MappedFile, HoldsNothingOfAnEmptyFile) {
  const ScratchFolder folder;
  write_file(folder.file("f"), "");
  const MappedFile file = MappedFile::open(folder.file("f"));
  EXPECT_EQ(file.size(), 0u);
  EXPECT_TRUE(file.bytes().empty());
  file.release(0, 1);
}

TEST(MappedFile, KeepsItsBytesInPlaceWhenMoved) {
  const ScratchFolder folder;
  write_file(folder.file("f"), "abc");
  write_file(folder.file("g"), "xyz");
  MappedFile first = MappedFile::open(folder.file("f"));
  const std::byte* data = first.bytes().data();
  MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().data(), data);
  MappedFile third = MappedFile::open(folder.file("g"));
  third = std::move(second);
  EXPECT_EQ(third.bytes().data(), data);
  EXPECT_EQ(text_of(third.bytes()), "abc");
}

TEST(MappedFile, StaysReadableAfterRelease) {
  const ScratchFolder folder;
  const std::string text = pattern(5 * 4096 + 17);
  write_file(folder.file("f"), text);
  const MappedFile file = MappedFile::open(folder.file("f"));
  for (const std::size_t offset :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, text.size()}) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{4096}, text.size(), SIZE_MAX}) {
      file.release(offset, length);
      EXPECT_EQ(text_of(file.bytes()), text) << offset << " " << length;
    }
  }
}

TEST(MappedFile, NamesAMissingFile) {
  const ScratchFolder folder;
  const std::string path = folder.file("missing");
  EXPECT_EQ(problem_of([&] { MappedFile::open(path); }, path),
            "cannot open: No such file or directory");
}

TEST(MappedFile, RefusesADirectory) {
  const ScratchFolder folder;
  const std::string path = folder.path().string();
  EXPECT_EQ(problem_of([&] { MappedFile::open(path); }, path), "is a directory; a file is needed");
}

TEST(MappedFile, RefusesADevice) {
  EXPECT_EQ(problem_of([] { MappedFile::open("/dev/zero"); }, "/dev/zero"),
            "is neither a file nor a pipe");
}

TEST(MappedFile, RefusesAnUnreadableFile) {
  const ScratchFolder folder;
  const std::string path = folder.file("f");
  write_file(path, "abc");
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  const WithoutRoot nobody;
  EXPECT_EQ(problem_of([&] { MappedFile::open(path); }, path), "cannot open: Permission denied");
}

TEST(MappedFile, ReadsAPipeToItsEnd) {
  // Past two doublings of the buffer.
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3'500'017}}) {
    const std::string text = pattern(size);
    const FedPipe fed(text);
    const MappedFile file = MappedFile::read_all(fed.read_end(), "standard input");
    EXPECT_TRUE(text_of(file.bytes()) == text) << size;
    file.release(0, file.size());
    EXPECT_TRUE(text_of(file.bytes()) == text) << "released bytes of a pipe are lost";
  }
}

TEST(MappedFile, ReadsANamedPipe) {
  const ScratchFolder folder;
  const std::string path = folder.file("fifo");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] { write_file(path, "abc"); });
  const MappedFile file = MappedFile::open(path);
  writer.join();
  EXPECT_EQ(text_of(file.bytes()), "abc");
}

TEST(MappedFile, ReportsWhereReadingFailed) {
  EXPECT_EQ(problem_of([] { MappedFile::read_all(-1, "file"); }),
            "cannot read after 0 bytes: Bad file descriptor");
}

}  // namespace
}  // namespace cuqat::io::testing
