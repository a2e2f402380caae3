#include "io/json_input.hpp"

#include "support.hpp"

namespace cuqat::io::testing {
namespace {

std::string json_problem_of(std::string_view text, const JsonLimits& limits = {}) {
  return problem_of([&] { parse_json(text, "file", limits); });
}

std::string nested(int depth, const std::string& open, const std::string& close) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  text += "1";
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(JsonInput, ReadsEveryKindOfValue) {
  const nlohmann::json json = parse_json(
      R"( {"a": [1, -2, 0.375, true, false, null], "b": {"c": "\u00e9", "d": {}}} )", "file");
  EXPECT_EQ(json["a"][0], 1);
  EXPECT_EQ(json["a"][1], -2);
  EXPECT_EQ(json["a"][2], 0.375);
  EXPECT_EQ(json["a"][3], true);
  EXPECT_TRUE(json["a"][5].is_null());
  EXPECT_EQ(json["b"]["c"], "\xc3\xa9");
  EXPECT_TRUE(json["b"]["d"].empty());
}

TEST(JsonInput, RefusesARepeatedKeyAndSaysWhere) {
  EXPECT_EQ(json_problem_of("{\"a\": 1,\n \"a\": 2}"),
            "JSON object repeats the key \"a\" at line 2, column 4");
  EXPECT_EQ(json_problem_of(R"([{"b": {"a": 1, "\u0061": 2}}])"),
            "JSON object repeats the key \"a\" at line 1, column 24");
}

TEST(JsonInput, TakesOneKeyInSeveralObjects) {
  const nlohmann::json json = parse_json(R"({"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]})", "file");
  EXPECT_EQ(json["a"]["a"], 1);
  EXPECT_EQ(json["b"][1]["a"], 3);
}

TEST(JsonInput, LimitsTheDepth) {
  EXPECT_EQ(parse_json(nested(64, "[", "]"), "file").size(), 1u);
  EXPECT_EQ(json_problem_of(nested(65, "[", "]")),
            "JSON is nested deeper than the limit 64 at line 1, column 65");
  EXPECT_EQ(json_problem_of(nested(3, "{\"a\":", "}"), {.max_depth = 2}),
            "JSON is nested deeper than the limit 2 at line 1, column 11");
  EXPECT_NE(json_problem_of(std::string(1'000'000, '[')), "");
}

TEST(JsonInput, LimitsTheSize) {
  EXPECT_EQ(parse_json("[1]", "file", {.max_bytes = 3})[0], 1);
  EXPECT_EQ(json_problem_of("[10]", {.max_bytes = 3}), "JSON of 4 bytes exceeds the limit 3");
}

TEST(JsonInput, RefusesWhatTheParserWouldSkip) {
  EXPECT_EQ(json_problem_of("\xef\xbb\xbf{}"), "begins with a byte order mark; JSON must not");
  EXPECT_EQ(json_problem_of(std::string_view("{}\0x", 4)), "holds a NUL at byte 2; no JSON");
}

TEST(JsonInput, RefusesWhatIsNoJson) {
  for (const std::string_view text :
       {"",      " ",        "{",     "{]",       "[1,]",        "{\"a\":1,}", "{} {}",
        "nan",   "Infinity", "01",    "+1",       ".5",          "1e999",      "'a'",
        "{a:1}", "// c\n1",  "[1] x", "\"\xff\"", "\"\\ud800\"", "\"a\nb\"",   "\"abc"}) {
    EXPECT_NE(json_problem_of(text), "") << text;
  }
}

TEST(JsonInput, SaysWhereTheTextIsWrong) {
  const std::string problem = json_problem_of("{\n  \"a\": tru }");
  EXPECT_TRUE(problem.starts_with("parse error at line 2, column 11: ")) << problem;
}

TEST(JsonInput, RefusesANumberThatNoDoubleHolds) {
  EXPECT_EQ(json_problem_of("[1,\n 1e999]"), "number overflow parsing '1e999' at line 2, column 7");
}

TEST(JsonInput, QuotesNoEndlessToken) {
  EXPECT_LT(json_problem_of('"' + std::string(1'000'000, 'x')).size(), 300u);
}

TEST(JsonInput, ReadsAFile) {
  const ScratchFolder folder;
  write_file(folder.file("p.json"), "{\"scale\": [0.5]}\n");
  EXPECT_EQ(read_json(folder.file("p.json"))["scale"][0], 0.5);
  write_file(folder.file("empty"), "");
  EXPECT_NE(problem_of([&] { read_json(folder.file("empty")); }, folder.file("empty")), "");
}

}  // namespace
}  // namespace cuqat::io::testing
