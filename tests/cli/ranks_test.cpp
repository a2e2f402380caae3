// Calibration in several processes of mpirun: the bytes of one process, or a clear error.
#include <algorithm>
#include <string>
#include <vector>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

/// Root may run it, more ranks than cores may be, and the MPI library's own leaks are its own.
const std::vector<std::string> kEnvironment = {
    "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
    "OMPI_MCA_rmaps_base_oversubscribe=1", "ASAN_OPTIONS=detect_leaks=0"};

Outcome run_in(int num_ranks, const std::vector<std::string>& words) {
  Surroundings surroundings;
  surroundings.environment = kEnvironment;
  surroundings.launcher = {"mpirun", "-n", std::to_string(num_ranks)};
  return run(words, surroundings);
}

class RanksTest : public ProgramTest {
 protected:
  /// Shards that share tensors of every kind, and have one of their own each.
  std::vector<std::string> shards() {
    std::vector<std::string> files;
    for (int i = 0; i < 5; ++i) {
      const std::int64_t rows = 20 + 7 * i;
      const std::vector<float> values = activations(rows * 16, static_cast<unsigned>(i + 1));
      const std::vector<double> wide(values.begin(), values.end());
      files.push_back(path("shard" + std::to_string(i) + ".safetensors"));
      write_safetensors_file(files.back(),
                             {{"half", "BF16", {rows, 16}, raw_bytes(truncated_to_bf16(values))},
                              {"other", "BF16", {16, rows}, raw_bytes(truncated_to_bf16(values))},
                              {"single", "F32", {rows, 16}, raw_bytes(values)},
                              {"whole" + std::to_string(i), "F64", {rows, 16}, raw_bytes(wide)}});
    }
    return files;
  }
  std::vector<std::string> names_without_inputs() const {
    std::vector<std::string> all = names();
    std::erase_if(all, [](const std::string& name) { return name.starts_with("shard"); });
    return all;
  }
};

std::vector<std::string> calibrate(std::vector<std::string> files,
                                   const std::vector<std::string>& more) {
  files.insert(files.begin(), "calibrate");
  files.insert(files.end(), more.begin(), more.end());
  return files;
}

TEST_F(RanksTest, GiveTheBytesOfOneProcess) {
  const std::vector<std::string> files = shards();
  const std::vector<std::vector<std::string>> settings = {
      {},
      {"--affine", "--dialect", "onnxruntime", "--percentile", "99", "--percentile", "99.9"},
      {"--format", "e4m3", "--granularity", "channel:1", "--match", "half|single|whole"}};
  for (const std::vector<std::string>& words : settings) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--quiet", "--json", path("one.json"), "--state", path("one.state")});
    ASSERT_EQ(run(calibrate(files, all)).exit_code, 0);
    const std::string json = read_file(path("one.json"));
    const std::string state = read_file(path("one.state"));
    EXPECT_GT(json.size(), 1000u);
    for (int ranks = 1; ranks <= 4; ++ranks) {
      all = words;
      all.insert(all.end(), {"--quiet", "--json", path("n.json"), "--state", path("n.state")});
      const Outcome outcome = run_in(ranks, calibrate(files, all));
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      EXPECT_EQ(outcome.err, "");
      EXPECT_EQ(outcome.out, "");
      EXPECT_EQ(read_file(path("n.json")), json) << ranks << " ranks";
      EXPECT_EQ(read_file(path("n.state")), state) << ranks << " ranks";
    }
  }
}

TEST_F(RanksTest, GiveGroupsAndSavedStatisticsToo) {
  const std::vector<std::string> file = {shards().front()};
  const std::vector<std::string> grouped = {"--granularity", "group:8", "--json", "-"};
  EXPECT_EQ(run_in(3, calibrate(file, grouped)).out, run(calibrate(file, grouped)).out);
  ASSERT_EQ(run(calibrate(file, {"--quiet", "--state", path("a.state")})).exit_code, 0);
  const std::vector<std::string> answer = {"calibrate", "--from-state", path("a.state"), "--json",
                                           "-"};
  const Outcome once = run_in(3, answer);
  EXPECT_EQ(once.exit_code, 0) << once.err;
  EXPECT_EQ(once.out, run(answer).out);
}

TEST_F(RanksTest, PrintOneTable) {
  const Outcome outcome = run_in(3, calibrate(shards(), {"--match", "half", "--method", "minmax"}));
  EXPECT_EQ(outcome.exit_code, 0);
  const std::vector<std::string> lines = lines_of(outcome.out);
  ASSERT_EQ(lines.size(), 3u) << outcome.out;  // names, one row, who computed it
  EXPECT_NE(lines.back().find(", 3 processes of "), std::string::npos) << lines.back();
  // mpirun gives the ranks a terminal, and passes what comes to it on to a pipe.
  EXPECT_EQ(outcome.out.find('\033'), std::string::npos);
}

/// Of an error that all ranks print, mpirun's own lines left out.
void expect_error_on_every_rank(const Outcome& outcome, int exit_code, std::size_t num_ranks,
                                const std::string& part) {
  EXPECT_EQ(outcome.exit_code, exit_code);
  EXPECT_EQ(outcome.out, "");
  std::size_t found = 0;
  for (const std::string& line : lines_of(outcome.err)) {
    if (!line.starts_with("cuqat: error: ")) continue;
    EXPECT_NE(line.find(part), std::string::npos) << line;
    ++found;
  }
  EXPECT_EQ(found, num_ranks) << outcome.err;
}

TEST_F(RanksTest, SayWhatOneOfThemCouldNotRead) {
  std::vector<std::string> files = shards();
  // A channel axis that only one tensor lacks: one rank meets it.
  write_safetensors_file(files[3], {f32_tensor("flat", {3}, {1, -2, 3})});
  const Outcome outcome =
      run_in(3, calibrate(files, {"--granularity", "channel:1", "--json", path("out.json")}));
  expect_error_on_every_rank(outcome, 3, 3, "flat");
  write_file(files[2], "damaged");
  expect_error_on_every_rank(run_in(2, calibrate(files, {"--json", path("out.json")})), 3, 2,
                             "shard2");
  EXPECT_TRUE(names_without_inputs().empty());
}

TEST_F(RanksTest, RefuseToDisagree) {
  const std::vector<std::string> files = shards();
  Surroundings surroundings;
  surroundings.environment = kEnvironment;
  // "mpirun A : B" runs both as ranks of one job.
  surroundings.launcher = {
      "mpirun",         "-n",       "1",    CUQAT_PROGRAM, "calibrate", files[0], "--json",
      path("out.json"), "--format", "int4", ":",           "-n",        "1"};
  const Outcome outcome =
      run({"calibrate", files[0], "--json", path("out.json"), "--format", "int8"}, surroundings);
  expect_error_on_every_rank(outcome, 2, 2, "rank 1 has another command line than rank 0");
  EXPECT_TRUE(names_without_inputs().empty());
}

TEST_F(RanksTest, RefuseTogetherAnOutputThatIsAnInputOfOneOfThem) {
  const std::string file = shards().front();
  for (const char* folder : {"here", "there"}) std::filesystem::create_directory(path(folder));
  std::filesystem::create_symlink(file, path("there/out.json"));
  Surroundings surroundings;
  surroundings.environment = kEnvironment;
  surroundings.launcher = {"mpirun",      "-n",        "1",  "--wdir", path("here"),
                           CUQAT_PROGRAM, "calibrate", file, "--json", "out.json",
                           ":",           "-n",        "1",  "--wdir", path("there")};
  expect_error_on_every_rank(run({"calibrate", file, "--json", "out.json"}, surroundings), 2, 2,
                             "is the input");
  EXPECT_TRUE(std::filesystem::is_empty(path("here")));
}

TEST_F(RanksTest, LeaveNothingWhenOneDies) {
  const std::vector<std::string> files = shards();
  Surroundings surroundings;
  surroundings.environment = kEnvironment;
  surroundings.launcher = {"mpirun", "-n", "1", "sh", "-c", "kill -9 $$", ":", "-n", "2"};
  const Outcome outcome =
      run(calibrate({files[0]}, {"--json", path("out.json"), "--state", path("out.state")}),
          surroundings);
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err, "");  // mpirun says who died
  EXPECT_TRUE(names_without_inputs().empty());
}

TEST_F(RanksTest, AreOfCalibrateOnly) {
  expect_error_on_every_rank(run_in(2, {"inspect", shards().front()}), 2, 2,
                             "only calibrate runs in several processes; these are 2");
}

TEST_F(RanksTest, ExitTogetherWhereAResultIsBelowMinSqnr) {
  const Outcome outcome = run_in(2, calibrate(shards(), {"--quiet", "--match", "half", "--min-sqnr",
                                                         "200", "--method", "mse"}));
  expect_error_on_every_rank(outcome, 5, 1, "--min-sqnr asks for 200");
}

}  // namespace
}  // namespace cuqat::test
