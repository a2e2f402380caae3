#include "io/safetensors_writer.hpp"

#include <array>

#include "io/safetensors.hpp"
#include "support.hpp"

namespace cuqat::io::testing {
namespace {

using Names = std::vector<std::string>;

TensorEntry entry(const std::string& name, const std::string& dtype,
                  const std::vector<std::int64_t>& shape, std::span<const std::byte> data) {
  return {{name, dtype, shape}, data};
}

std::string invalid(const std::vector<TensorInfo>& tensors,
                    const std::map<std::string, std::string>& metadata = {}) {
  const ScratchFolder folder;
  std::string problem;
  try {
    const SafetensorsWriter writer(folder.file("out"), tensors, metadata);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const InvalidArgument& error) {
    problem = error.what();
  }
  EXPECT_EQ(folder.names(), Names{});
  return problem;
}

TEST(SafetensorsWriter, WritesTheseBytes) {
  const ScratchFolder folder;
  const Bytes codes = bytes_of("abc");
  const std::vector<TensorEntry> tensors = {entry("w", "I8", {3, 1}, codes),
                                            entry("e", "F32", {0}, {})};
  write_safetensors(folder.file("out"), tensors, {{"b", "2"}, {"a", "1"}});
  const std::string header =
      R"({"__metadata__":{"a":"1","b":"2"},"w":{"dtype":"I8","shape":[3,1],"data_offsets":[0,3]},)"
      R"("e":{"dtype":"F32","shape":[0],"data_offsets":[3,3]}})";
  ASSERT_EQ(header.size() % 8, 5u);
  const Bytes expected = safetensors_bytes(header + "   ", 0);
  EXPECT_EQ(text_of(read_file(folder.file("out"))), text_of(expected) + "abc");
  EXPECT_EQ(folder.names(), Names{"out"});
}

TEST(SafetensorsWriter, AlignsTheDataForHeadersOfEveryLength) {
  const ScratchFolder folder;
  for (std::size_t length = 0; length < 17; ++length) {
    const std::string name(length, 'n');
    const Bytes data(8);
    const std::vector<TensorEntry> tensors = {entry(name, "F64", {1}, data)};
    write_safetensors(folder.file("out"), tensors);
    const Bytes bytes = read_file(folder.file("out"));
    EXPECT_EQ(bytes.size() % 8, 0u);
    EXPECT_NE(SafetensorsFile::parse(bytes, "out").find(name), nullptr);
  }
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  const SafetensorsFile original =
      SafetensorsFile::open(fixture_path("mixed.safetensors").string());
  const ScratchFolder folder;
  write_safetensors(folder.file("out"), original.tensors(), original.metadata());
  const SafetensorsFile copy = SafetensorsFile::open(folder.file("out"));
  EXPECT_EQ(copy.metadata(), original.metadata());
  ASSERT_EQ(copy.tensors().size(), original.tensors().size());
  for (std::size_t i = 0; i < copy.tensors().size(); ++i) {
    const TensorEntry& a = copy.tensors()[i];
    const TensorEntry& b = original.tensors()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.dtype, b.dtype);
    EXPECT_EQ(a.shape, b.shape);
    EXPECT_EQ(text_of(a.data), text_of(b.data));
  }
}

TEST(SafetensorsWriter, WritesTheBytesOfThePackageForItsOwnFile) {
  // The package sorts tensors, and the fixture's order is that one already.
  const ScratchFolder folder;
  const SafetensorsFile original = SafetensorsFile::open(fixture_path("one.safetensors").string());
  write_safetensors(folder.file("out"), original.tensors(), original.metadata());
  EXPECT_EQ(read_file(folder.file("out")), read_file(fixture_path("one.safetensors")));
}

TEST(SafetensorsWriter, EscapesNamesAndMetadata) {
  const ScratchFolder folder;
  const std::string name = "a\"\\\n\xe2\x98\x83";
  const std::vector<TensorEntry> tensors = {entry(name, "U8", {0}, {})};
  write_safetensors(folder.file("out"), tensors, {{name, name}});
  const SafetensorsFile file = SafetensorsFile::open(folder.file("out"));
  EXPECT_NE(file.find(name), nullptr);
  EXPECT_EQ(file.metadata().at(name), name);
}

TEST(SafetensorsWriter, WritesTensorByTensor) {
  const ScratchFolder folder;
  const std::vector<TensorInfo> infos = {{"a", "U8", {2}}, {"b", "U8", {}}};
  SafetensorsWriter writer(folder.file("out"), infos);
  writer.append(bytes_of("xy"));
  EXPECT_THROW(writer.commit(), InvalidArgument);
  EXPECT_THROW(writer.append(bytes_of("zz")), InvalidArgument);
  writer.append(bytes_of("z"));
  EXPECT_THROW(writer.append(bytes_of("z")), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder.file("out")));
  writer.commit();
  const SafetensorsFile file = SafetensorsFile::open(folder.file("out"));
  EXPECT_EQ(text_of(file.find("a")->data), "xy");
  EXPECT_EQ(text_of(file.find("b")->data), "z");
}

TEST(SafetensorsWriter, LeavesNothingWithoutCommit) {
  const ScratchFolder folder;
  const std::vector<TensorInfo> infos = {{"a", "U8", {2}}};
  { SafetensorsWriter(folder.file("out"), infos).append(bytes_of("xy")); }
  EXPECT_EQ(folder.names(), Names{});
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  EXPECT_EQ(invalid({{"a", "U8", {0}}, {"a", "U8", {0}}}),
            "tensor name \"a\" is reserved or repeated");
  EXPECT_EQ(invalid({{"__metadata__", "U8", {0}}}),
            "tensor name \"__metadata__\" is reserved or repeated");
  EXPECT_EQ(invalid({{"a", "F31", {0}}}), "tensor \"a\" has the unknown dtype \"F31\"");
  const std::string bad_shape =
      "tensor \"a\" has a shape that is negative, past 2^63 bytes or no whole number of bytes";
  EXPECT_EQ(invalid({{"a", "U8", {-1}}}), bad_shape);
  EXPECT_EQ(invalid({{"a", "U8", {kHuge, 2}}}), bad_shape);
  EXPECT_EQ(invalid({{"a", "F32", {kHuge}}}), bad_shape);
  EXPECT_EQ(invalid({{"a", "F4", {3}}}), bad_shape);
  EXPECT_EQ(invalid({{"a", "U8", {kHuge}}, {"b", "U8", {kHuge}}}),
            "the tensors take more than 2^63 bytes");
  EXPECT_EQ(invalid({{"\xff", "U8", {0}}}), "tensor name \"\\xff\" is not UTF-8");
  EXPECT_EQ(invalid({}, {{"\xff", ""}}), "metadata key \"\\xff\" is not UTF-8");
  EXPECT_EQ(invalid({}, {{"", "\xff"}}), "metadata value \"\\xff\" is not UTF-8");
}

TEST(SafetensorsWriter, RefusesAHeaderThatNoReaderTakes) {
  EXPECT_EQ(invalid({}, {{"a", std::string(100'000'000, 'x')}}),
            "header of 100000032 bytes exceeds the limit 100000000");
}

TEST(SafetensorsWriter, NamesAMissingDirectory) {
  const ScratchFolder folder;
  const std::string path = folder.file("missing/out");
  EXPECT_EQ(
      problem_of([&] { write_safetensors(path, {}); }, path),
      "cannot create a file in \"" + folder.file("missing") + "\": No such file or directory");
}

}  // namespace
}  // namespace cuqat::io::testing
