// The tables for people: width, alignment, one row for each result.
#include <algorithm>
#include <limits>
#include <sstream>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

constexpr std::size_t kMaxWidth = 99;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Characters of UTF-8; none of those in these tests is two columns wide but the ones it is told of.
std::size_t width(const std::string& line, std::size_t extra = 0) {
  return extra + static_cast<std::size_t>(std::ranges::count_if(
                     line, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

class TableOfProgram : public ProgramTest {
 protected:
  std::vector<std::string> lines(const std::string& command, const std::vector<RawTensor>& tensors,
                                 std::vector<std::string> words = {}) {
    write_safetensors_file(path("in"), tensors);
    words.insert(words.begin(), {command, path("in")});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return lines_of(outcome.out);
  }
};

const std::string kLongName = "model." + std::string(300, 'n') + ".weight";

std::vector<RawTensor> awkward_tensors() {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  const double most = std::numeric_limits<double>::max();
  return {f32_tensor(kLongName, {2, 2}, {-tiny, 1.23456e-38f, huge, -huge}),
          f32_tensor("tiny", {2, 2}, {-1.23456e-38f, 2.3456e-38f, 0, 1.234e-38f}),
          {"most." + kLongName,
           "F64",
           {2, 2},
           raw_bytes(std::vector<double>{most, -most, 1e-300, 5e-324})},
          f32_tensor("empty", {0, 3}, {}),
          f32_tensor("rank8." + kLongName, {1, 1, 1, 1, 1, 1, 12345, 1},
                     std::vector<float>(12345, -0.001f)),
          f32_tensor("nan", {1, 3}, std::vector<float>(3, kNaN))};
}

TEST_F(TableOfProgram, StaysBelow100ColumnsWhateverTheData) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"--affine"},
           {"--granularity", "channel:1"},
           {"--granularity", "group:2", "--affine", "--format", "int4"},
           {"--percentile", "99.99999999", "--format", "e5m2"}}) {
    const auto table = lines("calibrate", awkward_tensors(), words);
    EXPECT_EQ(table.size(), 1 + 6 * 5 + 1u);
    for (const std::string& line : table) EXPECT_LE(width(line), kMaxWidth) << line;
  }
}

TEST_F(TableOfProgram, OfInspectStaysBelow100ColumnsWhateverTheData) {
  std::vector<RawTensor> tensors = awkward_tensors();
  tensors.push_back({"i." + kLongName, "F8_E4M3FNUZ", {1, 2}, "ab"});
  const auto table = lines("inspect", tensors);
  EXPECT_EQ(table.size(), tensors.size() + 1);
  for (const std::string& line : table) EXPECT_LE(width(line), kMaxWidth) << line;
}

TEST_F(TableOfProgram, WideCharactersCountTwice) {
  std::string name;
  for (int i = 0; i < 60; ++i) name += "漢";
  const auto table = lines("calibrate", {f32_tensor(name, {1}, {1})});
  ASSERT_GE(table.size(), 2u);
  const std::size_t kept = table[1].find("…") == std::string::npos ? 60 : 0;
  EXPECT_EQ(kept, 0u);
  std::size_t wide = 0;
  for (std::size_t at = table[1].find("漢"); at != std::string::npos;
       at = table[1].find("漢", at + 1)) {
    ++wide;
  }
  EXPECT_GT(wide, 4u);
  EXPECT_LE(width(table[1], wide), kMaxWidth);
  EXPECT_EQ(width(table[1], wide), width(table[0]));  // Both end with a right-aligned cell.
}

TEST_F(TableOfProgram, LongNamesLoseTheirMiddle) {
  const auto table = lines("calibrate", {f32_tensor(kLongName, {1}, {1})}, {"--method", "minmax"});
  ASSERT_EQ(table.size(), 3u);
  EXPECT_TRUE(table[1].starts_with("model.nnn")) << table[1];
  EXPECT_NE(table[1].find("…"), std::string::npos);
  EXPECT_NE(table[1].find("nnn.weight "), std::string::npos);
}

TEST_F(TableOfProgram, HasOneAlignedRowForEachTensorAndMethod) {
  const auto table = lines("calibrate", {f32_tensor("second", {4}, {1, -2, 3, -12.7f}),
                                         f32_tensor("first", {4}, {1, 2, 3, 4})});
  ASSERT_EQ(table.size(), 12u);
  EXPECT_TRUE(table[0].starts_with("tensor"));
  for (std::size_t i = 1; i <= 10; ++i) {
    EXPECT_TRUE(table[i].starts_with(i <= 5 ? "first " : "second ")) << table[i];
    EXPECT_EQ(width(table[i]), width(table[0])) << table[i];
  }
  EXPECT_NE(table[6].find("minmax"), std::string::npos);
  EXPECT_NE(table[6].find("0.1000"), std::string::npos) << table[6];
  EXPECT_NE(table[6].find("±12.70"), std::string::npos) << table[6];
}

TEST_F(TableOfProgram, EndsWithBackendThreadsAndTime) {
  const auto table =
      lines("calibrate", {f32_tensor("x", {1}, {1})}, {"--backend", "reference", "--threads", "3"});
  EXPECT_TRUE(table.back().starts_with("reference (")) << table.back();
  EXPECT_NE(table.back().find("3 threads"), std::string::npos);
  EXPECT_TRUE(table.back().ends_with(" s")) << table.back();
}

TEST_F(TableOfProgram, ShowsTheSpreadOfScalesPerChannel) {
  const auto table = lines("calibrate", {f32_tensor("x", {2, 2}, {1.27f, -1.27f, 127, 12.7f})},
                           {"--granularity", "channel:0", "--method", "minmax"});
  EXPECT_NE(table[1].find("0.0100..1.00"), std::string::npos) << table[1];
}

TEST_F(TableOfProgram, IsPlainWhereItIsNoTerminal) {
  for (const std::string& line : lines("calibrate", {f32_tensor("x", {1}, {1})})) {
    EXPECT_EQ(line.find('\033'), std::string::npos);
  }
}

TEST_F(TableOfProgram, InspectShowsWhatIsInTheTensor) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto table =
      lines("inspect", {f32_tensor("x", {2, 4}, {0, 0, infinity, -infinity, kNaN, -3, 1, 2}),
                        {"labels", "I64", {2}, std::string(16, '\0')}});
  ASSERT_EQ(table.size(), 3u);
  EXPECT_TRUE(table[1].starts_with("labels  I64    2")) << table[1];
  EXPECT_NE(table[1].find(" -  "), std::string::npos);
  std::istringstream row(table[2]);
  std::vector<std::string> cells(10);
  for (std::string& cell : cells) row >> cell;
  cells.resize(9);
  EXPECT_EQ(cells,
            (std::vector<std::string>{"x", "F32", "2x4", "-3.00", "2.00", "3.00", "1", "2", "2"}));
}

TEST_F(TableOfProgram, TheSparklineRisesWhereTheElementsAre) {
  std::vector<float> values(1000, 1.0f);
  for (int i = 0; i < 10; ++i) values.push_back(-1.0f);
  const auto table = lines("inspect", {f32_tensor("x", {1010}, values)});
  ASSERT_EQ(table.size(), 2u);
  EXPECT_TRUE(table[1].ends_with("▃          █")) << table[1];
}

}  // namespace
}  // namespace cuqat::test
