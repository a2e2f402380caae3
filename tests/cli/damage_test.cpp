// Damaged input: one line, exit code 3, and nothing written.
#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

class Damage : public ProgramTest {
 protected:
  // Runs `words` on each damaged version of a file; the outputs go to "out".
  void expect_refused(const std::string& file, const std::vector<std::string>& versions,
                      const std::vector<std::string>& words) {
    for (const std::string& bytes : versions) {
      write_file(path(file), bytes);
      const Outcome outcome = run(words);
      EXPECT_EQ(outcome.exit_code, 3) << file << " of " << bytes.size() << " bytes";
      EXPECT_TRUE(is_one_error(outcome.err, file)) << bytes.size();
      EXPECT_EQ(outcome.out, "");
      for (const std::string& name : names()) {
        EXPECT_FALSE(name.starts_with("out") || name.starts_with(".")) << name;
      }
    }
  }
};

// Cut at every `step`-th byte.
std::vector<std::string> truncated(const std::string& bytes, std::size_t step) {
  std::vector<std::string> versions;
  for (std::size_t size = 0; size < bytes.size(); size += step) {
    versions.push_back(bytes.substr(0, size));
  }
  versions.push_back(bytes.substr(0, bytes.size() - 1));
  return versions;
}

TEST_F(Damage, ATruncatedSafetensorsFileIsRefused) {
  const std::string bytes = safetensors_bytes(
      {f32_tensor("x", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}), f32_tensor("y", {1}, {1})});
  expect_refused(
      "in", truncated(bytes, 3),
      {"calibrate", path("in"), "--json", path("out.json"), "--state", path("out.state")});
}

TEST_F(Damage, BytesAfterTheEndAreRefused) {
  const std::string bytes = safetensors_bytes({f32_tensor("x", {1}, {1})});
  expect_refused("in", {bytes + '\0', bytes + bytes}, {"inspect", path("in")});
}

TEST_F(Damage, ATruncatedNpyFileIsRefused) {
  const std::string bytes = npy_bytes("<f4", "(2, 2)", raw_bytes(std::vector<float>{1, 2, 3, 4}));
  expect_refused("in.npy", truncated(bytes, 5),
                 {"calibrate", path("in.npy"), "--json", path("out.json")});
}

TEST_F(Damage, AnNpyFileOfObjectsIsRefused) {
  expect_refused("in.npy", {npy_bytes("|O", "(1,)", "cos\nsystem\n(S'true'\ntR.")},
                 {"calibrate", path("in.npy"), "--json", path("out.json")});
}

TEST_F(Damage, ATruncatedStateFileIsRefused) {
  write_safetensors_file(path("in"), {f32_tensor("x", {2}, {1, 2}), f32_tensor("y", {1}, {1})});
  ASSERT_EQ(run({"calibrate", path("in"), "--quiet", "--state", path("whole")}).exit_code, 0);
  const std::string bytes = read_file(path("whole"));
  expect_refused("state", truncated(bytes, 17),
                 {"merge", path("state"), "--state", path("out.state")});
  expect_refused("state", truncated(bytes, 31),
                 {"calibrate", "--from-state", path("state"), "--json", path("out.json")});
}

TEST_F(Damage, AStateFileWithAnyByteChangedIsRefused) {
  write_safetensors_file(path("in"), {f32_tensor("x", {2}, {1, 2})});
  ASSERT_EQ(run({"calibrate", path("in"), "--quiet", "--state", path("whole")}).exit_code, 0);
  const std::string bytes = read_file(path("whole"));
  std::vector<std::string> versions;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    versions.push_back(bytes);
    versions.back()[i] = static_cast<char>(versions.back()[i] ^ 0x40);
  }
  expect_refused("state", versions, {"merge", path("state"), "--state", path("out.state")});
}

TEST_F(Damage, TruncatedParametersAreRefused) {
  write_safetensors_file(path("in"), {f32_tensor("x", {2}, {1, 2})});
  ASSERT_EQ(run({"calibrate", path("in"), "--quiet", "--method", "mse", "--json", path("whole")})
                .exit_code,
            0);
  const std::string bytes = read_file(path("whole"));
  expect_refused("params", truncated(bytes.substr(0, bytes.size() - 1), 29),
                 {"quantize", path("in"), "--params", path("params"), "--out", path("out")});
}

TEST_F(Damage, ATruncatedQuantizedFileIsRefused) {
  write_safetensors_file(path("in"), {f32_tensor("x", {2}, {1, 2})});
  ASSERT_EQ(run({"calibrate", path("in"), "--quiet", "--method", "mse", "--json", path("params")})
                .exit_code,
            0);
  ASSERT_EQ(
      run({"quantize", path("in"), "--params", path("params"), "--out", path("whole")}).exit_code,
      0);
  expect_refused("codes", truncated(read_file(path("whole")), 37),
                 {"dequantize", path("codes"), "--out", path("out")});
}

TEST_F(Damage, AHeaderThatClaimsMoreThanTheFileHoldsAllocatesNothing) {
  // A length of 2^63, and shapes whose product wraps.
  std::vector<std::string> versions = {std::string("\0\0\0\0\0\0\0\x80{}", 10)};
  for (const std::string shape : {"[4294967296,4294967296]", "[9223372036854775807]", "[-1]"}) {
    const std::string header =
        R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,0]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    versions.push_back(bytes + header);
  }
  expect_refused("in", versions, {"calibrate", path("in"), "--json", path("out.json")});
}

}  // namespace
}  // namespace cuqat::test
