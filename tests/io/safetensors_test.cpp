// Valid safetensors files: what the package safetensors wrote, and corners of the format.
#include "io/safetensors.hpp"

#include <cstring>

#include "support.hpp"

namespace cuqat::io::testing {
namespace {

SafetensorsFile mixed() {
  return SafetensorsFile::open(fixture_path("mixed.safetensors").string());
}

const TensorEntry& get(const SafetensorsFile& file, std::string_view name) {
  const TensorEntry* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  return *tensor;
}

struct Expected {
  const char* name;
  DType dtype;
  std::vector<std::int64_t> shape;
};

TEST(Safetensors, GivesTheValuesThatThePackageWrote) {
  const SafetensorsFile file = mixed();
  const std::vector<Expected> all = {
      {"f64", DType::kF64, {3, 4}},
      {"f32", DType::kF32, {2, 3, 5}},
      {"f16", DType::kF16, {7}},
      {"bf16", DType::kBF16, {2, 9}},
      {"scalar", DType::kF32, {}},
      {"empty", DType::kF32, {0, 3}},
      {"na\xc3\xafve \xe2\x98\x83 \"quoted\"", DType::kF32, {2}},
  };
  for (const Expected& expected : all) {
    const TensorEntry& tensor = get(file, expected.name);
    EXPECT_EQ(tensor.dtype, to_string(expected.dtype));
    EXPECT_EQ(tensor.shape, expected.shape) << expected.name;
    const std::optional<ConstTensorView> view = file.view(tensor);
    ASSERT_TRUE(view.has_value()) << expected.name;
    EXPECT_EQ(view->dtype(), expected.dtype);
    EXPECT_EQ(extents(*view), expected.shape);
    EXPECT_EQ(elements(*view), fixture_values(view->count())) << expected.name;
  }
}

TEST(Safetensors, ListsWhatIsNoRealNumberWithoutAView) {
  const SafetensorsFile file = mixed();
  const auto bytes = [&](const char* name) { return text_of(get(file, name).data); };
  EXPECT_EQ(get(file, "codes").dtype, "I8");
  EXPECT_EQ(bytes("codes"), std::string("\x80\x00\x7f", 3));
  EXPECT_EQ(get(file, "fp8").dtype, "F8_E4M3");
  EXPECT_EQ(bytes("fp8"), "\x7e\xfe");
  EXPECT_EQ(get(file, "flags").dtype, "BOOL");
  EXPECT_EQ(bytes("flags"), std::string("\1\0\1\1\0", 5));
  EXPECT_EQ(get(file, "steps").dtype, "I64");
  EXPECT_EQ(get(file, "steps").data.size(), 16u);
  for (const char* name : {"codes", "fp8", "flags", "steps"}) {
    EXPECT_FALSE(file.view(get(file, name)).has_value()) << name;
  }
}

TEST(Safetensors, ListsAnyRankButViewsUpToEight) {
  const SafetensorsFile file = mixed();
  const TensorEntry& tensor = get(file, "rank9");
  EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{1, 1, 1, 2, 1, 1, 1, 1, 3}));
  EXPECT_EQ(problem_of([&] { (void)file.view(tensor); }, file.display_name()),
            "tensor \"rank9\": rank 9 exceeds the limit 8");
}

TEST(Safetensors, ListsTensorsInTheHeadersOrder) {
  const SafetensorsFile file = SafetensorsFile::parse(
      safetensors_bytes(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                        R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                        3),
      "file");
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(file.tensors()[1].name, "a");
  EXPECT_EQ(file.tensors()[1].data.size(), 1u);
  EXPECT_EQ(file.tensors()[0].data.data(), file.tensors()[1].data.data() + 1);
}

TEST(Safetensors, FindsTensorsByName) {
  const SafetensorsFile file = mixed();
  for (const TensorEntry& tensor : file.tensors()) EXPECT_EQ(file.find(tensor.name), &tensor);
  EXPECT_EQ(file.find(""), nullptr);
  EXPECT_EQ(file.find("f3"), nullptr);
  EXPECT_EQ(file.find("zzz"), nullptr);
}

TEST(Safetensors, GivesTheMetadata) {
  using Metadata = std::map<std::string, std::string>;
  EXPECT_EQ(mixed().metadata(), (Metadata{{"format", "np"}, {"made", "here"}}));
}

TEST(Safetensors, TakesAFileWithoutTensors) {
  const auto file = SafetensorsFile::open(fixture_path("no_tensors.safetensors").string());
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_TRUE(file.metadata().empty());
  EXPECT_EQ(file.find("x"), nullptr);
}

TEST(Safetensors, KeepsItsTensorsWhenMoved) {
  SafetensorsFile first = mixed();
  const std::byte* data = get(first, "f32").data.data();
  const SafetensorsFile second = std::move(first);
  EXPECT_EQ(get(second, "f32").data.data(), data);
  EXPECT_EQ(elements(*second.view(get(second, "f32"))), fixture_values(30));
}

TEST(Safetensors, StaysReadableAfterRelease) {
  const SafetensorsFile file = mixed();
  for (const TensorEntry& tensor : file.tensors()) file.release(tensor);
  EXPECT_EQ(elements(*file.view(get(file, "f64"))), fixture_values(12));
}

TEST(Safetensors, KnowsTheSizeOfEveryType) {
  // Bits of an element, from the package safetensors 0.8: which lengths it accepts for 8 elements.
  const std::vector<std::pair<const char*, std::size_t>> bits = {
      {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},
      {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
      {"F64", 64},    {"I64", 64},        {"U64", 64},        {"C64", 64},    {"F4", 4},
      {"F6_E2M3", 6}, {"F6_E3M2", 6},
  };
  for (const auto& [dtype, size] : bits) {
    for (std::size_t bytes = 0; bytes <= 65; ++bytes) {
      const Bytes file = safetensors_bytes(R"({"x":{"dtype":")" + std::string(dtype) +
                                               R"(","shape":[8],"data_offsets":[0,)" +
                                               std::to_string(bytes) + "]}}",
                                           bytes);
      if (bytes == size) {
        EXPECT_EQ(SafetensorsFile::parse(file, "file").tensors().size(), 1u) << dtype;
      } else {
        EXPECT_NE(problem_of([&] { SafetensorsFile::parse(file, "file"); }), "") << dtype << bytes;
      }
    }
  }
}

TEST(Safetensors, TakesTensorsWithoutElementsAnywhere) {
  const SafetensorsFile file = SafetensorsFile::parse(
      safetensors_bytes(
          R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
          R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
          R"("c":{"dtype":"F64","shape":[2,0],"data_offsets":[4,4]},)"
          R"("d":{"dtype":"F64","shape":[0,9223372036854775807],"data_offsets":[0,0]}})",
          4),
      "file");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.view(file.tensors()[0])->count(), 0);
  EXPECT_EQ(file.view(file.tensors()[2])->count(), 0);
  EXPECT_EQ(extents(*file.view(file.tensors()[3])),
            (std::vector<std::int64_t>{0, 9223372036854775807}));
}

TEST(Safetensors, TakesPaddingAfterTheHeader) {
  const Bytes bytes = safetensors_bytes(
      R"({"x":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}})" + std::string(77, ' '), 4);
  EXPECT_EQ(SafetensorsFile::parse(bytes, "file").tensors().size(), 1u);
}

TEST(Safetensors, TakesEveryAlignmentOfTheData) {
  for (std::size_t padding = 0; padding < 8; ++padding) {
    const std::string header =
        R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})" + std::string(padding, ' ');
    Bytes bytes = safetensors_bytes(header, 8);
    const double value = -1.5;
    std::memcpy(bytes.data() + bytes.size() - 8, &value, 8);
    const SafetensorsFile file = SafetensorsFile::parse(bytes, "file");
    EXPECT_EQ(elements(*file.view(file.tensors()[0])), std::vector<double>{-1.5});
  }
}

TEST(Safetensors, TakesAnyNameThatIsUtf8) {
  const SafetensorsFile file = SafetensorsFile::parse(
      safetensors_bytes(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                        R"("a\u0000\n":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                        0),
      "file");
  EXPECT_NE(file.find(""), nullptr);
  EXPECT_NE(file.find(std::string_view("a\0\n", 3)), nullptr);
}

}  // namespace
}  // namespace cuqat::io::testing
