#include "cli/program.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace cuqat::test {
namespace {

std::filesystem::path make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "cuqat-cli-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  return name;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

pid_t start(const std::vector<std::string>& arguments, const std::string& stdout_path,
            const std::string& stderr_path, const Surroundings& surroundings) {
  std::vector<std::string> words = surroundings.launcher;
  words.push_back(surroundings.program);
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment = surroundings.environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int kCreate = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, 0, surroundings.stdin_path.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, stdout_path.c_str(), kCreate, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, stderr_path.c_str(), kCreate, 0600);
  pid_t process = 0;
  const int error = posix_spawnp(&process, words.front().c_str(), &actions, nullptr,
                                 pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + words.front());
  return process;
}

int wait_for(pid_t process) {
  int status = 0;
  if (waitpid(process, &status, 0) != process) throw std::runtime_error("waitpid failed");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Outcome run(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  const std::filesystem::path folder = make_folder();
  const std::string out =
      surroundings.stdout_path.empty() ? (folder / "out").string() : surroundings.stdout_path;
  const std::string err = (folder / "err").string();
  Outcome outcome;
  outcome.exit_code = wait_for(start(arguments, out, err, surroundings));
  if (surroundings.stdout_path.empty()) outcome.out = read_file(out);
  outcome.err = read_file(err);
  std::filesystem::remove_all(folder);
  return outcome;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

::testing::AssertionResult is_one_error(const std::string& err, std::string_view part) {
  const std::vector<std::string> lines = lines_of(err);
  if (lines.size() != 1 || !err.ends_with('\n')) {
    return ::testing::AssertionFailure() << "not one line: " << err;
  }
  if (!err.starts_with("cuqat: error: ")) return ::testing::AssertionFailure() << "begins: " << err;
  if (err.find(part) == std::string::npos) {
    return ::testing::AssertionFailure() << "lacks \"" << part << "\": " << err;
  }
  return ::testing::AssertionSuccess();
}

ProgramTest::ProgramTest() : folder_(make_folder()) {}

ProgramTest::~ProgramTest() { std::filesystem::remove_all(folder_); }

std::vector<std::string> ProgramTest::names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace cuqat::test
