// Inputs and outputs beside plain files: pipes, standard input and output, .npy, being killed.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

class OutputOfProgram : public ProgramTest {
 protected:
  OutputOfProgram() { write_safetensors_file(sample(), {f32_tensor("x", {2, 2}, {1, -2, 3, 4})}); }
  [[nodiscard]] std::string sample() const { return path("a.safetensors"); }
};

TEST_F(OutputOfProgram, StandardInputIsReadAsAFile) {
  const Outcome from_file = run({"calibrate", sample(), "--json", "-"});
  Surroundings with_input;
  with_input.stdin_path = sample();
  EXPECT_EQ(run({"calibrate", "-", "--json", "-"}, with_input).out, from_file.out);
  EXPECT_EQ(run({"inspect", "-"}, with_input).out, run({"inspect", sample()}).out);
  const Outcome empty = run({"calibrate", "-"});
  EXPECT_EQ(empty.exit_code, 3);
  EXPECT_TRUE(is_one_error(empty.err, "standard input: "));
}

TEST_F(OutputOfProgram, JsonOnStandardOutputIsTheFileAndNoTable) {
  const Outcome printed = run({"calibrate", sample(), "--json", "-"});
  ASSERT_EQ(run({"calibrate", sample(), "--json", path("out.json")}).exit_code, 0);
  EXPECT_EQ(printed.out, read_file(path("out.json")));
}

TEST_F(OutputOfProgram, QuietPrintsNothing) {
  const Outcome outcome = run({"calibrate", sample(), "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out + outcome.err, "");
}

TEST_F(OutputOfProgram, OnlyTheNamedOutputsAppear) {
  ASSERT_EQ(run({"calibrate", sample(), "--json", path("j"), "--state", path("s")}).exit_code, 0);
  EXPECT_EQ(names(), (std::vector<std::string>{"a.safetensors", "j", "s"}));
}

TEST_F(OutputOfProgram, AReaderThatLeavesIsNoError) {
  ASSERT_EQ(mkfifo(path("out").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(path("in").c_str(), 0600), 0);
  const int reader = open(path("out").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const pid_t process =
      start({"calibrate", path("in"), "--json", path("j")}, path("out"), path("err"), {});
  // The program waits for its input, so that the reader is gone before anything is written.
  const int input = open(path("in").c_str(), O_WRONLY);
  close(reader);
  const std::string bytes = read_file(sample());
  ASSERT_EQ(write(input, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  close(input);
  EXPECT_EQ(wait_for(process), 0);
  EXPECT_EQ(read_file(path("err")), "");
  EXPECT_FALSE(read_file(path("j")).empty());
}

TEST_F(OutputOfProgram, AFullDeviceIsAnError) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full here";
  Surroundings full;
  full.stdout_path = "/dev/full";
  const Outcome table = run({"calibrate", sample()}, full);
  EXPECT_EQ(table.exit_code, 1);
  EXPECT_TRUE(is_one_error(table.err, "standard output: cannot write"));
  const Outcome json = run({"calibrate", sample(), "--json", "/dev/full"});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_TRUE(is_one_error(json.err, "/dev/full: cannot write"));
}

TEST_F(OutputOfProgram, BeingKilledLeavesTheOldOutputOrTheNewWhole) {
  write_safetensors_file(path("big.safetensors"),
                         {f32_tensor("x", {500, 1000}, activations(500'000, 4)),
                          f32_tensor("y", {500, 1000}, activations(500'000, 5))});
  const std::vector<std::string> words = {
      "calibrate", path("big.safetensors"), "--quiet",  "--method",
      "minmax",    "--granularity",         "group:20", "--json",
      path("j")};
  ASSERT_EQ(run(words).exit_code, 0);
  const std::string whole = read_file(path("j"));
  ASSERT_FALSE(whole.empty());
  write_file(path("j"), "old");
  int killed = 0;
  for (int milliseconds = 1; milliseconds < 2000; milliseconds = milliseconds * 3 / 2 + 1) {
    const pid_t process = start(words, path("out"), path("err"), {});
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(process, SIGKILL);
    if (wait_for(process) == 0) break;
    ++killed;
    const std::string left = read_file(path("j"));
    if (left == whole) break;  // killed on its way out, the work done
    EXPECT_TRUE(left == "old") << "after " << milliseconds << " ms: " << left.size() << " bytes";
  }
  EXPECT_GT(killed, 0);
  const int unnamed = open(path("").c_str(), O_WRONLY | O_TMPFILE, 0600);
  if (unnamed < 0) return;  // this file system has no files without a name
  close(unnamed);
  for (const std::string& name : names()) EXPECT_FALSE(name.starts_with(".cuqat")) << name;
}

TEST_F(OutputOfProgram, NpyFilesAreNamedByTheirStem) {
  write_file(path("layer.input.npy"),
             npy_bytes("<f4", "(2, 2)", raw_bytes(std::vector<float>{1, -2, 3, 4})));
  const Outcome outcome = run({"calibrate", path("layer.input.npy"), "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["tensors"][0]["name"], "layer.input");
  auto same = nlohmann::json::parse(run({"calibrate", sample(), "--json", "-"}).out);
  same["tensors"][0]["name"] = "layer.input";
  EXPECT_EQ(json, same);
}

TEST_F(OutputOfProgram, AnNpyFileIsABatchOfASafetensorsTensor) {
  write_file(path("x.npy"), npy_bytes("<f4", "(1, 2)", raw_bytes(std::vector<float>{5, 6})));
  const Outcome outcome = run({"calibrate", path("x.npy"), sample(), "--json", "-"});
  const auto json = nlohmann::json::parse(outcome.out);
  ASSERT_EQ(json["tensors"].size(), 1u);
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<int>{3, 2}));
  EXPECT_EQ(json["tensors"][0]["max"], 6.0);
}

TEST_F(OutputOfProgram, UntypedNpyNeedsTheDtype) {
  const std::vector<std::uint16_t> bf16 = truncated_to_bf16({1.0f, -2.0f});
  write_file(path("x.npy"), npy_bytes("<V2", "(2,)", raw_bytes(bf16)));
  EXPECT_EQ(run({"calibrate", path("x.npy")}).exit_code, 3);
  const Outcome outcome = run({"calibrate", path("x.npy"), "--npy-dtype", "bf16", "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["tensors"][0]["dtype"], "BF16");
  EXPECT_EQ(json["tensors"][0]["min"], -2.0);
}

TEST_F(OutputOfProgram, FortranOrderIsReadInCOrder) {
  write_file(path("x.npy"),
             npy_bytes("<f4", "(2, 2)", raw_bytes(std::vector<float>{1, 3, -2, 4}), true));
  const Outcome transposed =
      run({"calibrate", path("x.npy"), "--granularity", "channel:0", "--json", "-"});
  const Outcome plain = run({"calibrate", sample(), "--granularity", "channel:0", "--json", "-"});
  EXPECT_EQ(transposed.out, plain.out);
}

}  // namespace
}  // namespace cuqat::test
