// Saved statistics: what may be added to what, and what can be asked of them.
#include <nlohmann/json.hpp>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

class StateFile : public ProgramTest {
 protected:
  // Saves the statistics of a tensor under a name of its own.
  std::string save(const std::string& name, const RawTensor& tensor,
                   std::vector<std::string> words = {}) {
    write_safetensors_file(path(name + ".safetensors"), {tensor});
    words.insert(words.begin(), {"calibrate", path(name + ".safetensors"), "--quiet", "--state",
                                 path(name + ".state")});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return path(name + ".state");
  }
};

TEST_F(StateFile, AnswersEveryFormatWithoutTheData) {
  const RawTensor tensor = f32_tensor("x", {20, 10}, activations(200, 2));
  const std::string state = save("a", tensor, {"--format", "int4", "--method", "minmax"});
  for (const std::string format : {"int8", "e4m3"}) {
    const std::vector<std::string> words = {"--format", format, "--json", "-"};
    std::vector<std::string> from_state = {"calibrate", "--from-state", state};
    std::vector<std::string> from_data = {"calibrate", path("a.safetensors")};
    from_state.insert(from_state.end(), words.begin(), words.end());
    from_data.insert(from_data.end(), words.begin(), words.end());
    EXPECT_EQ(run(from_state).out, run(from_data).out);
  }
}

TEST_F(StateFile, KeepsTheShapeOfAScalar) {
  const std::string a = save("a", f32_tensor("x", {}, {1.5}));
  const std::string b = save("b", f32_tensor("x", {}, {-2}));
  for (const std::vector<std::string>& names : {std::vector<std::string>{"a"}, {"a", "b"}}) {
    std::vector<std::string> from_state = {"calibrate", "--json", "-", "--from-state"};
    std::vector<std::string> from_data = {"calibrate", "--json", "-"};
    for (const std::string& name : names) {
      from_state.push_back(path(name + ".state"));
      from_data.push_back(path(name + ".safetensors"));
    }
    EXPECT_EQ(run(from_state).out, run(from_data).out);
  }
}

TEST_F(StateFile, KeepsItsGranularity) {
  const RawTensor tensor = f32_tensor("x", {4, 3}, activations(12, 2));
  const std::string state = save("a", tensor, {"--granularity", "channel:1"});
  const Outcome outcome = run({"calibrate", "--from-state", state, "--json", "-"});
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["granularity"], "channel:1");
  EXPECT_EQ(json["tensors"][0]["results"][0]["scale"].size(), 3u);
  const Outcome other = run({"calibrate", "--from-state", state, "--granularity", "tensor"});
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_TRUE(is_one_error(other.err, "observed with granularity channel:1"));
}

TEST_F(StateFile, CollectorsThatDoNotFitAreNotAdded) {
  const std::string f32 = save("a", f32_tensor("x", {2, 2}, {1, 2, 3, 4}));
  const std::string f16 = save("b", {"x", "F16", {1}, std::string("\0\x3c", 2)});
  const std::string channels =
      save("c", f32_tensor("x", {2, 2}, {1, 2, 3, 4}), {"--granularity", "channel:1"});
  const std::string elsewhere =
      save("d", f32_tensor("y", {2, 2}, {1, 2, 3, 4}), {"--granularity", "channel:1"});
  for (const std::string& other : {f16, channels, elsewhere}) {
    const Outcome outcome = run({"merge", f32, other, "--state", path("sum")});
    EXPECT_EQ(outcome.exit_code, 3) << other;
    EXPECT_TRUE(is_one_error(outcome.err, "tensor ")) << other;
    EXPECT_FALSE(std::filesystem::exists(path("sum")));
  }
}

TEST_F(StateFile, ChannelsOfTheFirstAxisAreNotAdded) {
  const RawTensor tensor = f32_tensor("x", {2, 2}, {1, 2, 3, 4});
  for (const std::string axis : {"channel:0", "channel:-2"}) {
    const std::string a = save("a", tensor, {"--granularity", axis});
    const std::string b = save("b", tensor, {"--granularity", axis});
    EXPECT_EQ(run({"calibrate", "--from-state", a}).exit_code, 0);
    const Outcome outcome = run({"merge", a, b, "--state", path("sum")});
    EXPECT_EQ(outcome.exit_code, 3) << axis;
    EXPECT_TRUE(is_one_error(outcome.err, "first axis")) << axis;
  }
}

TEST_F(StateFile, ChannelsOfBatchesWithDifferentInnerExtentsAreAdded) {
  const std::string a =
      save("a", f32_tensor("x", {2, 1, 2}, {1, 2, 3, 4}), {"--granularity", "channel:-1"});
  const std::string b =
      save("b", f32_tensor("x", {1, 3, 2}, {5, 6, 7, 8, 9, 10}), {"--granularity", "channel:-1"});
  const std::string c =
      save("c", f32_tensor("x", {1, 1, 2}, {11, 12}), {"--granularity", "channel:-1"});
  ASSERT_EQ(run({"merge", a, b, "--state", path("ab")}).exit_code, 0);
  const Outcome merged = run({"calibrate", "--from-state", path("ab"), c, "--json", "-"});
  const Outcome direct = run({"calibrate", path("a.safetensors"), path("b.safetensors"),
                              path("c.safetensors"), "--granularity", "channel:-1", "--json", "-"});
  EXPECT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_EQ(merged.out, direct.out);
}

TEST_F(StateFile, NamesOfAllFilesArePresentAndSorted) {
  const std::string a = save("a", f32_tensor("y", {1}, {1}));
  const std::string b = save("b", f32_tensor("x", {1}, {1}));
  ASSERT_EQ(run({"merge", a, b, "--state", path("sum")}).exit_code, 0);
  const auto json =
      nlohmann::json::parse(run({"calibrate", "--from-state", path("sum"), "--json", "-"}).out);
  ASSERT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][0]["name"], "x");
  const Outcome matched =
      run({"calibrate", "--from-state", path("sum"), "--match", "y", "--json", "-"});
  EXPECT_EQ(nlohmann::json::parse(matched.out)["tensors"].size(), 1u);
  EXPECT_EQ(run({"calibrate", "--from-state", path("sum"), "--match", "z"}).exit_code, 3);
}

TEST_F(StateFile, ASafetensorsFileIsNoStateFile) {
  write_safetensors_file(path("a"), {f32_tensor("x", {1}, {1})});
  const Outcome outcome = run({"merge", path("a"), "--state", path("sum")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "is no state file"));
}

TEST_F(StateFile, ANewerOneSaysSo) {
  const std::string a = save("a", f32_tensor("x", {2}, {1, 2}));
  std::string bytes = read_file(a);
  bytes[7] = '2';
  write_file(a, bytes);
  const Outcome outcome = run({"merge", a, "--state", path("sum")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "is a state file of version 2; this program reads 1"));
}

TEST_F(StateFile, MergingCountsAFileGivenTwiceTwice) {
  const std::string a = save("a", f32_tensor("x", {2}, {1, 2}));
  const auto json =
      nlohmann::json::parse(run({"calibrate", "--from-state", a, a, "--json", "-"}).out);
  EXPECT_EQ(json["tensors"][0]["count"], 4);
  EXPECT_EQ(json["tensors"][0]["shape"], std::vector<int>{4});
}

}  // namespace
}  // namespace cuqat::test
