// --backend cuda gives the bytes of --backend cpu, with device code that the executor runs on the
// CPU.
#include <string>
#include <vector>

#include "cli/program.hpp"
#include "cli/sample_files.hpp"

namespace cuqat::test {
namespace {

class CudaBackend : public ProgramTest {
 protected:
  CudaBackend() {
    const std::vector<float> values = activations(4000, 3);
    const std::string bf16 = raw_bytes(truncated_to_bf16(values));
    // Of two files: a tensor that both have, one of f32, for the CPU, one without elements.
    write_safetensors_file(path("a.safetensors"), {{"x", "BF16", {50, 40}, bf16.substr(0, 4000)},
                                                   f32_tensor("wide", {40, 100}, values),
                                                   {"none", "BF16", {0, 4}, ""}});
    write_safetensors_file(path("b.safetensors"), {{"x", "BF16", {50, 40}, bf16.substr(4000)},
                                                   {"half", "F16", {2000}, bf16.substr(0, 4000)}});
  }

  /// Everything that calibrate writes, by the backend of this name.
  std::string outputs(const std::string& backend, std::vector<std::string> words,
                      Surroundings surroundings = {}) {
    surroundings.program = CUQAT_PROGRAM_ON_SIMT;
    words.insert(words.begin(), {"calibrate", path("a.safetensors"), path("b.safetensors"),
                                 "--quiet", "--backend", backend});
    const std::vector<std::string> files = {path(backend + ".json"), path(backend + ".state"),
                                            path(backend + ".html")};
    words.insert(words.end(), {"--json", files[0], "--state", files[1], "--html", files[2]});
    const Outcome outcome = run(words, surroundings);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::string all;
    for (const std::string& file : files) all += read_file(file);
    return all;
  }
};

TEST_F(CudaBackend, GivesTheBytesOfTheCpu) {
  EXPECT_EQ(outputs("cuda", {}), outputs("cpu", {}));
  const std::vector<std::string> all_methods = {"--method", "all",      "--percentile",
                                                "99.9",     "--format", "e4m3"};
  EXPECT_EQ(outputs("cuda", all_methods), outputs("cpu", all_methods));
}

TEST_F(CudaBackend, LeavesChannelsToTheCpu) {
  const std::vector<std::string> words = {"--granularity", "channel:-1", "--match", "wide"};
  EXPECT_EQ(outputs("cuda", words), outputs("cpu", words));
}

TEST_F(CudaBackend, IsListed) {
  Surroundings surroundings;
  surroundings.program = CUQAT_PROGRAM_ON_SIMT;
  const Outcome info = run({"info"}, surroundings);
  EXPECT_NE(info.out.find("calibrate"), std::string::npos) << info.out;
  EXPECT_NE(run({"info"}).out.find("no CUDA code"), std::string::npos);
}

TEST_F(CudaBackend, IsForCalibrateAlone) {
  const Outcome outcome = run({"inspect", path("a.safetensors"), "--backend", "cuda"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(is_one_error(outcome.err, "cuda"));
}

}  // namespace
}  // namespace cuqat::test
