#include "io/atomic_file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>

#include "support.hpp"

namespace cuqat::io::testing {
namespace {

using Names = std::vector<std::string>;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

// Files of this process may not grow past a limit while it lives: a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(AtomicFile, AppearsOnlyAtCommit) {
  const ScratchFolder folder;
  AtomicFile file(folder.file("out"));
  file.write("abc");
  file.write("def");
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
  file.commit();
  EXPECT_EQ(text_of(read_file(folder.file("out"))), "abcdef");
  EXPECT_EQ(folder.names(), Names{"out"});
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const ScratchFolder folder;
  { AtomicFile(folder.file("out")).write("abc"); }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(AtomicFile, KeepsTheOldFileUntilCommit) {
  const ScratchFolder folder;
  write_file(folder.file("out"), "old");
  { AtomicFile(folder.file("out")).write("new"); }
  EXPECT_EQ(text_of(read_file(folder.file("out"))), "old");
  write_text_file(folder.file("out"), "new");
  EXPECT_EQ(text_of(read_file(folder.file("out"))), "new");
  EXPECT_EQ(folder.names(), Names{"out"});
}

TEST(AtomicFile, KeepsThePermissionsOfTheOldFile) {
  const ScratchFolder folder;
  write_file(folder.file("out"), "old");
  ASSERT_EQ(chmod(folder.file("out").c_str(), 0600), 0);
  write_text_file(folder.file("out"), "new");
  EXPECT_EQ(mode_of(folder.file("out")), 0600u);
}

TEST(AtomicFile, FollowsTheUmaskForANewFile) {
  const ScratchFolder folder;
  const mode_t before = umask(0027);
  write_text_file(folder.file("out"), "new");
  umask(before);
  EXPECT_EQ(mode_of(folder.file("out")), 0640u);
}

TEST(AtomicFile, ReplacesTheTargetOfALink) {
  const ScratchFolder folder;
  write_file(folder.file("target"), "old");
  std::filesystem::create_symlink("target", folder.file("link"));
  write_text_file(folder.file("link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("link")));
  EXPECT_EQ(text_of(read_file(folder.file("target"))), "new");
}

TEST(AtomicFile, RefusesALinkToNothing) {
  const ScratchFolder folder;
  const std::string path = folder.file("link");
  std::filesystem::create_symlink("missing", path);
  EXPECT_EQ(problem_of([&] { AtomicFile file(path); }, path),
            "cannot follow the link: No such file or directory");
  EXPECT_EQ(folder.names(), Names{"link"});
}

TEST(AtomicFile, ChangesHandsWhenMoved) {
  const ScratchFolder folder;
  std::optional<AtomicFile> outer;
  {
    AtomicFile inner(folder.file("out"));
    inner.write("abc");
    outer.emplace(std::move(inner));
  }
  outer->write("def");
  outer->commit();
  EXPECT_EQ(text_of(read_file(folder.file("out"))), "abcdef");
}

TEST(AtomicFile, TwoOfOneNameDoNotMix) {
  const ScratchFolder folder;
  AtomicFile first(folder.file("out"));
  AtomicFile second(folder.file("out"));
  first.write("first");
  second.write("second");
  first.commit();
  second.commit();
  EXPECT_EQ(text_of(read_file(folder.file("out"))), "second");
  EXPECT_EQ(folder.names(), Names{"out"});
}

TEST(AtomicFile, NamesAMissingDirectory) {
  const ScratchFolder folder;
  const std::string path = folder.file("missing/out");
  EXPECT_EQ(
      problem_of([&] { AtomicFile file(path); }, path),
      "cannot create a file in \"" + folder.file("missing") + "\": No such file or directory");
}

TEST(AtomicFile, RefusesADirectory) {
  const ScratchFolder folder;
  const std::string path = folder.path().string();
  EXPECT_EQ(problem_of([&] { AtomicFile file(path); }, path), "is a directory; cannot write");
}

TEST(AtomicFile, LeavesNothingWhenTheRenameFails) {
  const ScratchFolder folder;
  const std::string path = folder.file("out");
  {
    AtomicFile file(path);
    file.write("abc");
    std::filesystem::create_directory(path);
    EXPECT_EQ(problem_of([&] { file.commit(); }, path),
              "cannot rename the finished file: Is a directory");
  }
  EXPECT_EQ(folder.names(), Names{"out"});
  EXPECT_TRUE(std::filesystem::is_empty(path));
}

TEST(AtomicFile, LeavesNothingWhenTheDiskIsFull) {
  const ScratchFolder folder;
  const std::string path = folder.file("out");
  const Bytes large(100'000);
  {
    const FileSizeLimit limit(4096);
    AtomicFile file(path);
    EXPECT_EQ(problem_of([&] { file.write(large); }, path), "cannot write: File too large");
  }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(AtomicFile, RefusesADirectoryThatIsNotWritable) {
  const ScratchFolder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0555), 0);
  const std::string path = folder.file("out");
  const WithoutRoot nobody;
  EXPECT_EQ(problem_of([&] { AtomicFile file(path); }, path),
            "cannot create a file in \"" + folder.path().string() + "\": Permission denied");
}

TEST(AtomicFile, RefusesAFileThatIsNotWritable) {
  const ScratchFolder folder;
  const std::string path = folder.file("out");
  write_file(path, "old");
  ASSERT_EQ(chmod(path.c_str(), 0444), 0);
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  const WithoutRoot nobody;
  EXPECT_EQ(problem_of([&] { AtomicFile file(path); }, path), "cannot write: Permission denied");
}

TEST(AtomicFile, WritesADeviceDirectly) {
  write_text_file("/dev/null", "abc");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  AtomicFile full("/dev/full");
  EXPECT_EQ(problem_of([&] { full.write("abc"); }, "/dev/full"),
            "cannot write: No space left on device");
}

}  // namespace
}  // namespace cuqat::io::testing
