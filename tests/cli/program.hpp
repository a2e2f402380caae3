// Runs the program and catches what it says.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace cuqat::test {

struct Outcome {
  int exit_code = -1;  ///< 128 + the signal that ended it.
  std::string out;
  std::string err;
};

struct Surroundings {
  std::string stdin_path = "/dev/null";
  std::string stdout_path;               ///< Instead of catching it.
  std::vector<std::string> environment;  ///< "NAME=value", beside the test's own.
  std::vector<std::string> launcher;     ///< Words before the program's, a command of its own.
  std::string program = CUQAT_PROGRAM;
};

Outcome run(const std::vector<std::string>& arguments, const Surroundings& surroundings = {});

/// Starts the program and returns at once; wait_for() must follow.
pid_t start(const std::vector<std::string>& arguments, const std::string& stdout_path,
            const std::string& stderr_path, const Surroundings& surroundings);
int wait_for(pid_t process);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view bytes);
std::vector<std::string> lines_of(std::string_view text);

/// True for exactly one line that begins with "cuqat: error: " and holds `part`.
::testing::AssertionResult is_one_error(const std::string& err, std::string_view part);

/// A folder of its own for each test, removed with its content.
class ProgramTest : public ::testing::Test {
 protected:
  ProgramTest();
  ~ProgramTest() override;

  [[nodiscard]] std::string path(std::string_view name) const { return (folder_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// Names in the folder, sorted.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::filesystem::path folder_;
};

}  // namespace cuqat::test
