// Valid .npy files: what NumPy wrote, and what else the format allows.
#include "io/npy.hpp"

#include <cstring>

#include "support.hpp"

namespace cuqat::io::testing {
namespace {

using Extents = std::vector<std::int64_t>;

struct Expected {
  const char* file;
  DType dtype;
  Extents shape;
  bool fortran_order = false;
};

constexpr NpyOptions kBf16{.untyped = DType::kBF16};

TEST(Npy, GivesTheValuesThatNumPyWrote) {
  const std::vector<Expected> all = {
      {"f2", DType::kF16, {7}},
      {"f4", DType::kF32, {2, 3, 5}},
      {"f8", DType::kF64, {3, 4}},
      {"v2", DType::kF32, {2, 3}},
      {"v3", DType::kF32, {2, 3}},
      {"scalar", DType::kF32, {}},
      {"empty", DType::kF32, {0, 3}},
      {"bf16", DType::kBF16, {2, 9}},
      {"fortran_f2", DType::kF16, {2, 3, 4, 5}, true},
      {"fortran_f4", DType::kF32, {37, 41}, true},
      {"fortran_f8", DType::kF64, {3, 2, 4}, true},
  };
  for (const Expected& expected : all) {
    const std::string path = fixture_path(std::string(expected.file) + ".npy").string();
    const NpyFile file = NpyFile::open(path, kBf16);
    EXPECT_EQ(file.display_name(), path);
    EXPECT_EQ(file.fortran_order(), expected.fortran_order) << expected.file;
    EXPECT_EQ(file.view().dtype(), expected.dtype) << expected.file;
    EXPECT_EQ(extents(file.view()), expected.shape) << expected.file;
    EXPECT_EQ(elements(file.view()), fixture_values(file.view().count())) << expected.file;
  }
}

TEST(Npy, KeepsItsViewWhenMoved) {
  for (const char* name : {"f8.npy", "fortran_f8.npy"}) {
    NpyFile first = NpyFile::open(fixture_path(name).string());
    const NpyFile second = std::move(first);
    EXPECT_EQ(elements(second.view()), fixture_values(second.view().count())) << name;
  }
}

TEST(Npy, UntypedBytesNeedAType) {
  const std::string path = fixture_path("bf16.npy").string();
  EXPECT_EQ(problem_of([&] { NpyFile::open(path); }, path),
            "element type \"<V2\" does not say what it holds; NumPy saves bfloat16 so: read it "
            "with --npy-dtype bf16");
  EXPECT_EQ(problem_of([&] { NpyFile::open(path, {.untyped = DType::kF32}); }, path),
            "element type \"<V2\" cannot be read as F32");
  const Bytes bar = npy_bytes("{'descr': '|V2', 'fortran_order': False, 'shape': (3,)}", 6);
  EXPECT_EQ(NpyFile::parse(bar, "file", kBf16).view().dtype(), DType::kBF16);
}

TEST(Npy, ATypeInTheFileWins) {
  const NpyFile file = NpyFile::open(fixture_path("f2.npy").string(), kBf16);
  EXPECT_EQ(file.view().dtype(), DType::kF16);
}

TEST(Npy, TakesEverySpellingOfTheHeader) {
  for (const char* header : {
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
           "{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False}",
           "{'fortran_order':False,'shape':( 2 , 3 ),'descr':'=f4'}",
           " {\n'descr'\t: '<f4',\r\n'fortran_order': False, 'shape': (2L, 3L), } \n",
       }) {
    const Bytes bytes = npy_bytes(header, 24);
    const NpyFile file = NpyFile::parse(bytes, "file");
    EXPECT_EQ(extents(file.view()), (Extents{2, 3})) << header;
    EXPECT_EQ(file.view().dtype(), DType::kF32);
  }
}

TEST(Npy, TakesRanksUpToEight) {
  const Bytes scalar = npy_bytes("{'descr': '<f8', 'fortran_order': True, 'shape': ()}", 8);
  EXPECT_EQ(NpyFile::parse(scalar, "file").view().shape().rank(), 0);
  const Bytes eight =
      npy_bytes("{'descr': '<f2', 'fortran_order': True, 'shape': (1,2,1,2,1,2,1,2)}", 32);
  EXPECT_EQ(NpyFile::parse(eight, "file").view().shape().rank(), 8);
}

// The element at each index of a Fortran-order file is the one that the strides of that order name.
void check_fortran_order(const Extents& shape) {
  std::int64_t count = 1;
  std::string header = "{'descr': '<f8', 'fortran_order': True, 'shape': (";
  for (const std::int64_t extent : shape) {
    header += std::to_string(extent) + ",";
    count *= extent;
  }
  Bytes bytes = npy_bytes(header + ")}", static_cast<std::size_t>(count) * 8);
  auto* data = bytes.data() + bytes.size() - static_cast<std::size_t>(count) * 8;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(i);
    std::memcpy(data + i * 8, &value, 8);
  }
  const NpyFile file = NpyFile::parse(bytes, "file");
  const std::vector<double> found = elements(file.view());
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i;
    std::int64_t position = 0;
    std::int64_t stride = count;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      stride /= shape[axis];
      position += rest % shape[axis] * stride;
      rest /= shape[axis];
    }
    ASSERT_EQ(found[static_cast<std::size_t>(i)], static_cast<double>(position)) << header << i;
  }
}

TEST(Npy, ReordersFortranArraysOfEveryRank) {
  for (const Extents& shape :
       {Extents{5}, Extents{1, 1}, Extents{1, 7}, Extents{7, 1}, Extents{31, 33}, Extents{32, 64},
        Extents{65, 3}, Extents{3, 4, 5}, Extents{33, 2, 34}, Extents{2, 3, 4, 5},
        Extents{3, 1, 2, 5, 2}, Extents{2, 3, 2, 2, 3, 2, 2, 3}}) {
    check_fortran_order(shape);
  }
}

TEST(Npy, TakesAFortranArrayWithoutElements) {
  for (const char* shape : {"(0, 3)", "(3, 0)", "(3, 0, 4)", "(0,)"}) {
    const Bytes bytes = npy_bytes(
        "{'descr': '<f8', 'fortran_order': True, 'shape': " + std::string(shape) + "}", 0);
    EXPECT_EQ(NpyFile::parse(bytes, "file").view().count(), 0) << shape;
  }
}

TEST(Npy, KnowsItsFilesByTheirFirstBytes) {
  EXPECT_TRUE(is_npy(read_file(fixture_path("f4.npy"))));
  EXPECT_FALSE(is_npy(read_file(fixture_path("one.safetensors"))));
  EXPECT_FALSE(is_npy(bytes_of("\x93NUMP")));
  EXPECT_FALSE(is_npy({}));
}

}  // namespace
}  // namespace cuqat::io::testing
