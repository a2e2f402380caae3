// The program's memory does not grow with its input.
#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "cli/program.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kElements = std::int64_t{1} << 25;

class Memory : public ProgramTest {
 protected:
  enum class Numbers { kNearOne, kOfEveryMagnitude };

  /// 128 MiB of different finite f32 numbers of this shape: in [1, 2) and [-2, -1), or any.
  std::string write_numbers(const std::string& shape, Numbers numbers) {
    const std::string header = R"({"x":{"dtype":"F32","shape":)" + shape +
                               R"(,"data_offsets":[0,)" + std::to_string(4 * kElements) + "]}}";
    const std::string file = path("x.safetensors");
    std::ofstream out(file, std::ios::binary);
    const std::uint64_t length = header.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out << header;
    Random random(7);
    std::vector<std::uint32_t> block(std::size_t{1} << 20);
    for (std::int64_t done = 0; done < kElements; done += std::int64_t{1} << 20) {
      for (std::uint32_t& word : block) {
        word = static_cast<std::uint32_t>(random() >> 32);
        if (numbers == Numbers::kNearOne) {
          word = (word & 0x807f'ffffu) | 0x3f80'0000u;
        } else if ((word & 0x7f80'0000u) == 0x7f80'0000u) {
          word &= 0xbfff'ffffu;  // no infinity or NaN
        }
      }
      out.write(reinterpret_cast<const char*>(block.data()),
                static_cast<std::streamsize>(block.size() * sizeof(std::uint32_t)));
    }
    return file;
  }
};

TEST_F(Memory, StaysWithin64MiBBeyondTheMapping) {
  // Memory of its own is limited; the mapping of a file to read is none of it.
  constexpr rlim_t kLimit = rlim_t{64} << 20;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  struct Run {
    const char* shape;
    std::vector<std::string> options;
    Numbers numbers = Numbers::kNearOne;
  };
  const Run runs[] = {
      {"[33554432]", {}},
      {"[33554432]", {"--affine", "--method", "minmax,percentile,mse"}},
      {"[1,33554432]", {"--granularity", "channel:0"}},
      {"[16777216,2]", {"--granularity", "channel:1", "--method", "percentile,mse"}},
      {"[4194304,8]", {"--granularity", "channel:1", "--method", "minmax,mse"}},
      {"[4,8388608]", {"--granularity", "group:4194304", "--method", "percentile"}},
      {"[4194304,8]", {"--granularity", "channel:1", "--method", "minmax", "--state"}},
      // Histograms of others grow with the range that they see (pytorch #122659, #123309).
      {"[33554432]", {}, Numbers::kOfEveryMagnitude},
      {"[33554432]", {"--method", "minmax,mse", "--state"}, Numbers::kOfEveryMagnitude}};
  for (const Run& one : runs) {
    std::vector<std::string> arguments = {"calibrate", write_numbers(one.shape, one.numbers),
                                          "--quiet", "--threads", "2"};
    arguments.insert(arguments.end(), one.options.begin(), one.options.end());
    if (one.options.size() > 0 && one.options.back() == "--state") {
      arguments.push_back(path("state"));
    }
    const rlimit limited{kLimit, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_DATA, &limited), 0);
    const Outcome outcome = run(arguments);
    ASSERT_EQ(setrlimit(RLIMIT_DATA, &before), 0);
    EXPECT_EQ(outcome.exit_code, 0) << one.shape << ": " << outcome.err;
  }
}

TEST_F(Memory, OfAPipeThatNeverEndsIsNotFilled) {
  Surroundings endless;
  endless.stdin_path = "/dev/zero";
  const Outcome outcome = run({"calibrate", "-"}, endless);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_TRUE(is_one_error(outcome.err, "standard input: "));
}

}  // namespace
}  // namespace cuqat::test
