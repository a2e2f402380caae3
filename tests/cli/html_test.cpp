// The page of --html: it stands alone, holds what the JSON holds, and shows any name.
#include <string>
#include <string_view>
#include <vector>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++found;
  }
  return found;
}

/// Every element that is opened is closed, in order.
::testing::AssertionResult is_well_formed(std::string_view page) {
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string_view::npos; at = page.find('<', at + 1)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string_view::npos) return ::testing::AssertionFailure() << "an open tag";
    const std::string_view tag = page.substr(at + 1, end - at - 1);
    if (tag.starts_with('!') || tag.ends_with('/')) continue;
    const std::string name(tag.substr(0, tag.find(' ')));
    if (!name.starts_with('/')) {
      open.push_back(name);
    } else if (open.empty() || "/" + open.back() != name) {
      return ::testing::AssertionFailure() << name << " at byte " << at;
    } else {
      open.pop_back();
    }
  }
  if (!open.empty()) return ::testing::AssertionFailure() << open.back() << " is not closed";
  return ::testing::AssertionSuccess();
}

class HtmlTest : public ProgramTest {
 protected:
  std::string page(std::vector<std::string> words) {
    words.insert(words.begin(), "calibrate");
    words.insert(words.end(), {"--html", "-"});
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome.out;
  }
};

TEST_F(HtmlTest, StandsAloneAndDrawsEveryTensor) {
  const std::string file = path("x.safetensors");
  write_safetensors_file(
      file, {f32_tensor("a", {60, 48}, activations(60 * 48, 1)), f32_tensor("b", {3}, {1, -2, 3}),
             f32_tensor("zeros", {2}, {0, 0}), f32_tensor("none", {0}, {})});
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {file},
           {file, "--affine", "--percentile", "99"},
           {file, "--format", "e4m3", "--match", "a|b"},
           {file, "--granularity", "channel:0", "--match", "a|b"}}) {
    const std::string text = page(words);
    EXPECT_TRUE(is_well_formed(text));
    for (const char* outside : {"<script", "https:", "src=", "href=", "url(", "@import"}) {
      EXPECT_EQ(occurrences(text, outside), 0u) << outside;
    }
    EXPECT_EQ(occurrences(text, "http:"), 1u);  // the name of the language
    EXPECT_EQ(occurrences(text, "<svg"), 2u);   // zeros and nothing have no histogram
    EXPECT_EQ(occurrences(text, "<table>"), words.size() > 1 && words.back() == "a|b" ? 2u : 4u);
  }
}

TEST_F(HtmlTest, ShowsTheNumbersOfTheTable) {
  const std::string file = path("x.safetensors");
  write_safetensors_file(file, {f32_tensor("x", {60, 48}, activations(60 * 48, 1))});
  const std::string text = page({file, "--method", "minmax,mse"});
  const std::vector<std::string> rows =
      lines_of(run({"calibrate", file, "--method", "minmax,mse"}).out);
  ASSERT_EQ(rows.size(), 4u);
  for (const std::string& row : {rows[1], rows[2]}) {
    std::size_t cells = 0;
    for (std::size_t begin = 0; begin < row.size();) {
      const std::size_t end = std::min(row.find(' ', begin), row.size());
      const std::string cell = row.substr(begin, end - begin);
      begin = end + 1;
      if (cell.empty() || cell == "x") continue;
      EXPECT_NE(text.find(">" + cell + "</td>"), std::string::npos) << cell;
      ++cells;
    }
    EXPECT_EQ(cells, 6u);
  }
}

TEST_F(HtmlTest, EscapesNames) {
  const std::string file = path("x.safetensors");
  write_safetensors_file(file, {f32_tensor("<b>&amp;", {2}, {1, 2})});
  const std::string text = page({file});
  EXPECT_NE(text.find("<h2>&lt;b&gt;&amp;amp;</h2>"), std::string::npos);
  EXPECT_TRUE(is_well_formed(text));
}

TEST_F(HtmlTest, IsTheSameFromSavedStatisticsAndFromPieces) {
  const std::vector<float> values = activations(60 * 48, 3);
  const std::vector<float> first(values.begin(), values.begin() + 20 * 48);
  const std::vector<float> rest(values.begin() + 20 * 48, values.end());
  write_safetensors_file(path("all.safetensors"), {f32_tensor("x", {60, 48}, values)});
  write_safetensors_file(path("1.safetensors"), {f32_tensor("x", {20, 48}, first)});
  write_safetensors_file(path("2.safetensors"), {f32_tensor("x", {40, 48}, rest)});
  for (const std::string granularity : {"tensor", "channel:1"}) {
    const std::vector<std::string> more = {"--granularity", granularity};
    const auto with = [&](std::vector<std::string> words) {
      words.insert(words.end(), more.begin(), more.end());
      return words;
    };
    const std::string whole = page(with({path("all.safetensors")}));
    EXPECT_EQ(page(with({path("1.safetensors"), path("2.safetensors")})), whole);
    ASSERT_EQ(run(with({"calibrate", path("all.safetensors"), "--quiet", "--state", path("s")}))
                  .exit_code,
              0);
    EXPECT_EQ(page({"--from-state", path("s")}), whole);
  }
}

TEST_F(HtmlTest, RefusesOneNameForTwoOutputs) {
  const std::string file = path("x.safetensors");
  write_safetensors_file(file, {f32_tensor("x", {2}, {1, 2})});
  const Outcome twice = run({"calibrate", file, "--json", path("o"), "--html", path("o")});
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_TRUE(is_one_error(twice.err, "--json and --html: both name"));
  const Outcome input = run({"calibrate", file, "--html", file});
  EXPECT_EQ(input.exit_code, 2);
  EXPECT_TRUE(is_one_error(input.err, "--html"));
}

}  // namespace
}  // namespace cuqat::test
