// Valid files with random bytes changed, removed, repeated: each parses or is refused with a
// FileError, and what parses lies inside the buffer. Run it under sanitizers.
#include <algorithm>
#include <random>

#include "io/json_input.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "support.hpp"

namespace cuqat::io::testing {
namespace {

constexpr int kNumMutants = 20'000;

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  Bytes mutate(Bytes bytes) {
    for (int edits = pick(1, 4); edits > 0; --edits) edit(bytes);
    bytes.shrink_to_fit();  // So that a sanitizer sees any read past the end.
    return bytes;
  }

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

 private:
  // Headers are where the decisions are: most edits fall there.
  std::size_t position(const Bytes& bytes) {
    const std::size_t size =
        pick(0, 3) == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 200);
    return static_cast<std::size_t>(pick(0, static_cast<int>(size) - 1));
  }

  void edit(Bytes& bytes) {
    constexpr std::string_view kTelling = "0123456789-.,:[]{}()'\"\\<>|= eLOVf\0\xff\x80";
    if (bytes.empty()) return;
    const std::size_t at = position(bytes);
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (pick(0, 5)) {
      case 0:
        bytes[at] ^= static_cast<std::byte>(1 << pick(0, 7));
        break;
      case 1:
        bytes[at] = static_cast<std::byte>(pick(0, 255));
        break;
      case 2:
        bytes[at] = static_cast<std::byte>(
            kTelling[static_cast<std::size_t>(pick(0, static_cast<int>(kTelling.size()) - 1))]);
        break;
      case 3:
        bytes.erase(place,
                    place + pick(1, static_cast<int>(std::min<std::size_t>(8, bytes.size() - at))));
        break;
      case 4:
        bytes.insert(place, bytes[position(bytes)]);
        break;
      default: {
        // Swapping keeps lengths right, so that the checks behind them are reached.
        std::swap(bytes[at], bytes[position(bytes)]);
        break;
      }
    }
  }

  std::mt19937_64 random_;
};

struct Outcome {
  int parsed = 0;
  int refused = 0;
};

// `parse` returns how many elements or bytes it could read.
template <typename Parse>
Outcome run(const std::vector<std::string>& fixtures, std::uint64_t seed, Parse&& parse) {
  std::vector<Bytes> originals;
  for (const std::string& name : fixtures) originals.push_back(read_file(fixture_path(name)));
  Mutator mutator(seed);
  Outcome outcome;
  for (int i = 0; i < kNumMutants; ++i) {
    const Bytes& original = originals[static_cast<std::size_t>(
        mutator.pick(0, static_cast<int>(originals.size()) - 1))];
    const Bytes mutant = mutator.mutate(original);
    try {
      EXPECT_LE(parse(mutant), mutant.size()) << "mutant " << i;
      ++outcome.parsed;
    } catch (const FileError& error) {
      const std::string_view message = error.what();
      EXPECT_TRUE(message.starts_with("file: ") && message.size() > 6) << "mutant " << i;
      EXPECT_EQ(message.find('\n'), std::string_view::npos) << "mutant " << i;
      EXPECT_LT(message.size(), 600u) << "mutant " << i;
      ++outcome.refused;
    }
  }
  return outcome;
}

TEST(Mutation, SafetensorsParseOrAreRefused) {
  const auto parse = [](const Bytes& bytes) {
    const SafetensorsFile file = SafetensorsFile::parse(bytes, "file");
    std::size_t read = 0;
    for (const TensorEntry& tensor : file.tensors()) {
      read += text_of(tensor.data).size();
      if (tensor.shape.size() > 8) continue;
      const std::optional<ConstTensorView> view = file.view(tensor);
      if (view) {
        EXPECT_EQ(elements(*view).size(), static_cast<std::size_t>(view->count()));
      }
    }
    return read;
  };
  const Outcome outcome =
      run({"mixed.safetensors", "one.safetensors", "no_tensors.safetensors"}, 20240501, parse);
  // Both ends of the parser are exercised.
  EXPECT_GT(outcome.parsed, kNumMutants / 100);
  EXPECT_GT(outcome.refused, kNumMutants / 2);
}

TEST(Mutation, NpyParseOrAreRefused) {
  const auto parse = [](const Bytes& bytes) {
    const NpyFile file = NpyFile::parse(bytes, "file", {.untyped = DType::kBF16});
    EXPECT_EQ(elements(file.view()).size(), static_cast<std::size_t>(file.view().count()));
    return file.view().size_bytes();
  };
  const Outcome outcome =
      run({"f2.npy", "f4.npy", "f8.npy", "v2.npy", "v3.npy", "scalar.npy", "empty.npy", "bf16.npy",
           "fortran_f2.npy", "fortran_f8.npy", "objects.npy", "structured.npy"},
          20240502, parse);
  EXPECT_GT(outcome.parsed, kNumMutants / 100);
  EXPECT_GT(outcome.refused, kNumMutants / 2);
}

TEST(Mutation, JsonParsesOrIsRefused) {
  const std::string text =
      R"({"cuqat": "0.1.0", "tensors": [{"name": "a\u00e9", "shape": [2, 3], "ok": true, "n": null,)"
      R"( "results": [{"scale": [0.5, 1e-3], "zero_point": [-128]}]}]})";
  Mutator mutator(20240503);
  Outcome outcome;
  for (int i = 0; i < kNumMutants; ++i) {
    const Bytes mutant = mutator.mutate(bytes_of(text));
    const std::string_view view(reinterpret_cast<const char*>(mutant.data()), mutant.size());
    try {
      // What was accepted is JSON: it can be written and read again.
      const nlohmann::json json = parse_json(view, "file", {.max_depth = 8});
      EXPECT_EQ(parse_json(json.dump(), "again"), json) << "mutant " << i;
      ++outcome.parsed;
    } catch (const FileError& error) {
      EXPECT_EQ(error.path(), "file");
      ++outcome.refused;
    }
  }
  EXPECT_GT(outcome.parsed, kNumMutants / 100);
  EXPECT_GT(outcome.refused, kNumMutants / 10);
}

}  // namespace
}  // namespace cuqat::io::testing
