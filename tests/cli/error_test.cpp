// Exit codes and messages: one line each, which says what is wrong.
#include <limits>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

class Errors : public ProgramTest {
 protected:
  Errors() {
    write_safetensors_file(path("a.safetensors"),
                           {f32_tensor("x", {4, 2}, {1, -2, 3, -4, 5, -6, 7, -8})});
  }
  // Of `calibrate` on the sample with further words.
  Outcome calibrate(std::vector<std::string> words) {
    words.insert(words.begin(), {"calibrate", path("a.safetensors")});
    return run(words);
  }
};

TEST_F(Errors, AnInputIsNeverOverwritten) {
  const std::string file = path("a.safetensors");
  const std::string detour = path("./a.safetensors");
  const std::string before = read_file(file);
  for (const char* option : {"--json", "--state"}) {
    for (const std::string& output : {file, detour}) {
      const Outcome outcome = calibrate({option, output});
      EXPECT_EQ(outcome.exit_code, 2) << option;
      EXPECT_TRUE(is_one_error(outcome.err, "is the input"));
    }
  }
  EXPECT_EQ(read_file(file), before);
}

TEST_F(Errors, EveryWrongOptionExitsWith2AndOneLine) {
  struct Case {
    std::vector<std::string> words;
    std::string_view part;
  };
  const std::vector<Case> cases = {
      {{"--method", "best"}, "--method: \"best\" is not all, minmax"},
      {{"--method", ""}, "--method"},
      {{"--method", "mse,,sqnr"}, "--method"},
      {{"--percentile", "100.5"}, "--percentile: \"100.5\" is not a number in [0, 100]"},
      {{"--percentile", "-1"}, "--percentile"},
      {{"--percentile", "nan"}, "--percentile"},
      {{"--percentile", "99.9x"}, "--percentile"},
      {{"--dialect", "mine"}, "--dialect"},
      {{"--format", "int3"}, "--format"},
      {{"--symmetric", "--affine"}, "excludes"},
      {{"--affine", "--format", "e4m3"}, "--affine: e4m3 has no zero point"},
      {{"--affine", "--format", "e5m2"}, "--affine: e5m2 has no zero point"},
      {{"--rounding", "original", "--format", "e4m3"}, "--rounding: original"},
      {{"--rounding", "up"}, "--rounding"},
      {{"--granularity", "rows"}, "--granularity: \"rows\" is not tensor, channel:AXIS or group:N"},
      {{"--granularity", "channel"}, "--granularity"},
      {{"--granularity", "channel:one"}, "--granularity"},
      {{"--granularity", "group:0"}, "--granularity"},
      {{"--granularity", "group:-4"}, "--granularity"},
      {{"--granularity", "group:99999999999999999999"}, "--granularity"},
      {{"--match", "("}, "--match: \"(\" is no regular expression"},
      {{"--backend", "tpu"}, "--backend"},
      {{"--threads", "0"}, "--threads"},
      {{"--threads", "two"}, "--threads"},
      {{"--npy-dtype", "f32"}, "--npy-dtype"},
      {{"--min-sqnr", "inf"}, "--min-sqnr"},
      {{"--export", "trt:out"}, "--export: not available in this version"},
      {{"--json", "same", "--state", "same"}, "--json and --state: both name"},
      {{"--json", "same", "--state", "./same"}, "--json and --state: both name"},
      {{"--state", path("b/../same"), "--html", path("same")}, "--state and --html: both name"},
      {{"--state", "s", "--granularity", "group:2"}, "--state"},
      {{"--from-state", "s"}, "--from-state"},
      {{"--surprise"}, "--surprise"},
      {{"--json"}, "--json"},
  };
  for (const Case& one : cases) {
    const Outcome outcome = calibrate(one.words);
    const std::string words = ::testing::PrintToString(one.words);
    EXPECT_EQ(outcome.exit_code, 2) << words;
    EXPECT_TRUE(is_one_error(outcome.err, one.part)) << words;
    EXPECT_EQ(outcome.out, "") << words;
  }
  EXPECT_EQ(names(), std::vector<std::string>{"a.safetensors"});
}

TEST_F(Errors, AMissingOrUnknownCommandExitsWith2) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"paint"},
                                             {"calibrate"},
                                             {"merge"},
                                             {"merge", "s"},
                                             {"quantize"},
                                             {"dequantize"},
                                             {"inspect"},
                                             {"info", "more"},
                                             {"quantize", "a", "--out", "b"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 2) << ::testing::PrintToString(words);
    EXPECT_TRUE(is_one_error(outcome.err, "")) << ::testing::PrintToString(words);
  }
}

TEST_F(Errors, AnUnknownCommandIsNamed) {
  EXPECT_TRUE(is_one_error(run({"paint"}).err, "\"paint\" is no command"));
}

TEST_F(Errors, TheCudaBackendExitsWith4AndSaysWhy) {
  const Outcome outcome = calibrate({"--backend", "cuda"});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_TRUE(is_one_error(outcome.err, "cuda"));
  ASSERT_EQ(calibrate({"--state", path("state")}).exit_code, 0);
  const Outcome from_state =
      run({"calibrate", "--from-state", path("state"), "--backend", "cuda", "--json", path("out")});
  EXPECT_EQ(from_state.exit_code, 4);
  EXPECT_TRUE(is_one_error(from_state.err, "cuda"));
  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(Errors, UnreadableInputExitsWith3) {
  write_file(path("empty.safetensors"), "");
  write_file(path("text.safetensors"), "these are not the tensors you look for");
  write_file(path("none.safetensors"), safetensors_bytes({}));
  write_file(path("text.npy"), "these are not the tensors you look for");
  for (const std::string file :
       {"missing", "empty.safetensors", "text.safetensors", "none.safetensors", "text.npy", "."}) {
    for (const std::string command : {"calibrate", "inspect"}) {
      const Outcome outcome = run({command, path(file)});
      EXPECT_EQ(outcome.exit_code, 3) << command << " " << file;
      EXPECT_TRUE(is_one_error(outcome.err, file)) << command << " " << file;
    }
  }
}

TEST_F(Errors, ANameWithTwoDtypesExitsWith3AndNamesBothFiles) {
  write_safetensors_file(path("b.safetensors"), {{"x", "F16", {1}, "\1\1"}});
  const Outcome outcome = calibrate({path("b.safetensors")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "b.safetensors: tensor \"x\" has dtype F16; in "));
}

TEST_F(Errors, NothingThatMatchesExitsWith3) {
  const Outcome outcome = calibrate({"--match", "^y"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "no tensor's name matches --match \"^y\""));
}

TEST_F(Errors, OnlyUnsupportedDtypesExitWith3) {
  write_safetensors_file(path("i.safetensors"), {{"i", "I64", {1}, std::string(8, '\0')}});
  const Outcome outcome = run({"calibrate", path("i.safetensors")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "no tensor of dtype F64, F32, F16 or BF16"));
}

TEST_F(Errors, AnUnsupportedDtypeBesideOthersIsSkippedWithAWarning) {
  write_safetensors_file(path("m.safetensors"), {{"labels", "I64", {1}, std::string(8, '\0')},
                                                 f32_tensor("x", {2}, {1, 2})});
  const Outcome outcome = run({"calibrate", path("m.safetensors"), "--json", "-"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "cuqat: warning: " + path("m.safetensors") +
                             ": tensor \"labels\" has dtype I64; skipped\n");
  EXPECT_EQ(outcome.out.find("labels"), std::string::npos);
}

TEST_F(Errors, AnAxisThatATensorLacksExitsWith3) {
  for (const std::string axis : {"2", "-3", "100"}) {
    const Outcome outcome = calibrate({"--granularity", "channel:" + axis});
    EXPECT_EQ(outcome.exit_code, 3) << axis;
    EXPECT_TRUE(is_one_error(outcome.err, "a.safetensors: tensor \"x\": ")) << axis;
  }
}

TEST_F(Errors, BatchesWithDifferentNumbersOfChannelsExitWith3) {
  write_safetensors_file(path("b.safetensors"), {f32_tensor("x", {1, 3}, {1, 2, 3})});
  const Outcome outcome = calibrate({path("b.safetensors"), "--granularity", "channel:1"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "channels"));
}

TEST_F(Errors, ScalesAlongTheFirstAxisNeedTheTensorInOneFile) {
  write_safetensors_file(path("b.safetensors"),
                         {f32_tensor("x", {4, 2}, std::vector<float>(8, 1))});
  for (const std::string granularity : {"channel:0", "channel:-2", "group:2"}) {
    const Outcome outcome = calibrate({path("b.safetensors"), "--granularity", granularity});
    EXPECT_EQ(outcome.exit_code, 3) << granularity;
    EXPECT_TRUE(is_one_error(outcome.err, "in one file")) << granularity;
  }
}

TEST_F(Errors, NoCommandOverwritesItsInput) {
  ASSERT_EQ(
      calibrate({"--json", path("p.json"), "--state", path("s"), "--method", "mse"}).exit_code, 0);
  const std::string data = path("a.safetensors");
  ASSERT_EQ(run({"quantize", data, "--params", path("p.json"), "--out", path("q")}).exit_code, 0);
  const std::vector<std::vector<std::string>> all = {
      {"quantize", data, "--params", path("p.json"), "--out", data},
      {"quantize", data, "--params", path("p.json"), "--out", path("p.json")},
      {"dequantize", path("q"), "--out", path("q")},
      {"merge", path("s"), "--state", path("s")},
      {"calibrate", "--from-state", path("s"), "--json", path("s")},
      {"calibrate", data, "--state", data}};
  for (const std::vector<std::string>& arguments : all) {
    const std::string before = read_file(arguments.back());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments.front();
    EXPECT_TRUE(is_one_error(outcome.err, "is the input")) << outcome.err;
    EXPECT_EQ(read_file(arguments.back()), before);
  }
}

TEST_F(Errors, StandardInputCanBeNamedOnce) {
  EXPECT_EQ(run({"calibrate", "-", "-"}).exit_code, 2);
  EXPECT_EQ(run({"inspect", "-", "-"}).exit_code, 2);
}

TEST_F(Errors, AnOutputThatCannotBeWrittenIsOneLineAndLeavesNothing) {
  const Outcome outcome = calibrate({"--json", path("no/such/folder.json")});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(is_one_error(outcome.err, "no/such/folder.json"));
  EXPECT_EQ(names(), std::vector<std::string>{"a.safetensors"});
}

TEST_F(Errors, AResultBelowMinSqnrExitsWith5AfterTheOutputsAreWritten) {
  const Outcome outcome =
      calibrate({"--method", "minmax,mse", "--min-sqnr", "200", "--json", path("out.json")});
  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_TRUE(is_one_error(outcome.err, "a.safetensors: tensor \"x\": minmax gives "));
  EXPECT_NE(outcome.err.find("the least of 2 results below"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out, "");
  EXPECT_TRUE(std::filesystem::exists(path("out.json")));
  EXPECT_EQ(calibrate({"--min-sqnr", "-200"}).exit_code, 0);
}

TEST_F(Errors, ControlCharactersFromAFileDoNotReachTheTerminal) {
  write_safetensors_file(
      path("evil.safetensors"),
      {{"\033[2J\nx", "I64", {1}, std::string(8, '\0')}, f32_tensor("y", {1}, {1})});
  const Outcome calibrated = run({"calibrate", path("evil.safetensors")});
  EXPECT_EQ(calibrated.err.find('\033'), std::string::npos);
  EXPECT_EQ(lines_of(calibrated.err).size(), 1u);
  const Outcome inspected = run({"inspect", path("evil.safetensors")});
  EXPECT_EQ(inspected.exit_code, 0);
  EXPECT_EQ(inspected.out.find('\033'), std::string::npos);
  EXPECT_EQ(lines_of(inspected.out).size(), 3u);
}

TEST_F(Errors, HelpAndVersionExitWith0) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--help"}, {"--version"}, {"calibrate", "--help"}, {"quantize", "-h"}}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_NE(outcome.out, "");
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_EQ(run({"--version"}).out, "cuqat 0.1.0\n");
}

TEST_F(Errors, InfoNamesEveryBackendAndWhyCudaIsNotUsable) {
  const Outcome outcome = run({"info"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const std::string_view part : {"cuqat 0.1.0", "cpu", "reference", "cuda", "threads"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace cuqat::test
