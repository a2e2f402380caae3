// The JSON is the same bytes for every cut of the data, order of the files, number of threads and
// backend, and from saved statistics.
#include <algorithm>
#include <string>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 60;
constexpr std::int64_t kColumns = 48;

struct Setting {
  const char* name;
  std::string dtype;
  std::vector<std::string> words;
};

std::string name_of(const ::testing::TestParamInfo<Setting>& info) { return info.param.name; }

class Invariance : public ProgramTest, public ::testing::WithParamInterface<Setting> {
 protected:
  // Rows [begin, end) of the data, as a file.
  std::string rows(std::int64_t begin, std::int64_t end) {
    const std::vector<float> all = activations(kRows * kColumns, 1);
    const std::vector<float> part(all.begin() + begin * kColumns, all.begin() + end * kColumns);
    const std::string& dtype = GetParam().dtype;
    std::string bytes = dtype == "BF16" ? raw_bytes(truncated_to_bf16(part)) : raw_bytes(part);
    if (dtype == "F64") bytes = raw_bytes(std::vector<double>(part.begin(), part.end()));
    const std::string file =
        path("rows" + std::to_string(begin) + "-" + std::to_string(end) + ".safetensors");
    std::vector<RawTensor> tensors = {{"x", dtype, {end - begin, kColumns}, bytes}};
    if (begin == 0) tensors.push_back(f32_tensor("a.other", {3}, {1, -2, 3}));
    write_safetensors_file(file, tensors);
    return file;
  }
  std::string json(std::vector<std::string> words) {
    words.insert(words.begin(), "calibrate");
    words.insert(words.end(), {"--json", "-"});
    words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }
};

TEST_P(Invariance, CutAndOrderOfTheFilesChangeNoByte) {
  const std::string whole = json({rows(0, kRows)});
  ASSERT_NE(whole.find("\"x\""), std::string::npos);
  for (const std::int64_t cut : {1, 7, 30, 59}) {
    EXPECT_EQ(json({rows(0, cut), rows(cut, kRows)}), whole) << cut;
    EXPECT_EQ(json({rows(cut, kRows), rows(0, cut)}), whole) << cut;
  }
  std::vector<std::string> files = {rows(0, 13), rows(13, 14), rows(14, 14), rows(14, kRows)};
  std::ranges::sort(files);
  do {
    EXPECT_EQ(json(files), whole) << ::testing::PrintToString(files);
  } while (std::ranges::next_permutation(files).found);
}

TEST_P(Invariance, ThreadsAndBackendChangeNoByte) {
  const std::string file = rows(0, kRows);
  const std::string one = json({file, "--threads", "1"});
  EXPECT_EQ(json({file, "--threads", "2"}), one);
  EXPECT_EQ(json({file, "--threads", "8"}), one);
  EXPECT_EQ(json({file, "--backend", "cpu"}), one);
  EXPECT_EQ(json({file, "--backend", "reference"}), one);
}

TEST_P(Invariance, SavedStatisticsMergedInAnyOrderAnswerAsTheData) {
  const std::string whole = json({rows(0, kRows)});
  const std::vector<std::string> granularity = GetParam().words;
  std::vector<std::string> states;
  for (const auto& [begin, end] : {std::pair{0, 20}, {20, 21}, {21, 60}}) {
    states.push_back(path("state" + std::to_string(begin)));
    std::vector<std::string> words = {"calibrate", rows(begin, end), "--quiet", "--state",
                                      states.back()};
    words.insert(words.end(), granularity.begin(), granularity.end());
    ASSERT_EQ(run(words).exit_code, 0);
  }
  const std::vector<std::string> all = states;
  std::string merged;
  do {
    ASSERT_EQ(run({"merge", states[0], states[1], states[2], "--state", path("sum")}).exit_code, 0);
    const std::string bytes = read_file(path("sum"));
    if (merged.empty()) merged = bytes;
    EXPECT_EQ(bytes, merged);
  } while (std::ranges::next_permutation(states).found);
  EXPECT_EQ(json({"--from-state", path("sum")}), whole);
  EXPECT_EQ(json({"--from-state", all[2], all[0], all[1]}), whole);
  ASSERT_EQ(run({"merge", all[0], all[1], "--state", path("ab")}).exit_code, 0);
  ASSERT_EQ(run({"merge", all[2], path("ab"), "--state", path("c-ab")}).exit_code, 0);
  EXPECT_EQ(read_file(path("c-ab")), merged);
}

TEST_P(Invariance, TheStateOfAllFilesIsTheStateOfTheirMerge) {
  std::vector<std::string> words = {"calibrate", rows(0, 25), rows(25, kRows), "--quiet"};
  words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
  words.insert(words.end(), {"--state", path("both")});
  ASSERT_EQ(run(words).exit_code, 0);
  words[1] = rows(0, kRows);
  words.erase(words.begin() + 2);
  words.back() = path("whole");
  ASSERT_EQ(run(words).exit_code, 0);
  EXPECT_EQ(read_file(path("both")), read_file(path("whole")));
}

INSTANTIATE_TEST_SUITE_P(
    Data, Invariance,
    ::testing::Values(
        Setting{"f32_int8", "F32", {}}, Setting{"bf16_int8", "BF16", {}},
        Setting{"f64_int8", "F64", {}}, Setting{"bf16_affine", "BF16", {"--affine"}},
        Setting{"f32_onnxruntime_affine", "F32", {"--affine", "--dialect", "onnxruntime"}},
        Setting{"bf16_e4m3", "BF16", {"--format", "e4m3"}},
        Setting{"f32_int4_percentiles",
                "F32",
                {"--format", "int4", "--percentile", "50", "--percentile", "99.9"}},
        Setting{"bf16_original_rounding", "BF16", {"--rounding", "original"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    DataPerLastAxis, Invariance,
    ::testing::Values(Setting{"f32", "F32", {"--granularity", "channel:-1", "--match", "x"}},
                      Setting{"bf16", "BF16", {"--granularity", "channel:1", "--match", "x"}}),
    name_of);

}  // namespace
}  // namespace cuqat::test
