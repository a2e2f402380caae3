// Damaged and hostile .npy files: each is refused with its reason.
#include "io/npy.hpp"
#include "support.hpp"

namespace cuqat::io::testing {
namespace {

std::string problem_of_bytes(const Bytes& bytes, const NpyOptions& options = {}) {
  return problem_of([&] { NpyFile::parse(bytes, "file", options); });
}

std::string problem_of_header(std::string_view header, std::size_t data_bytes = 24) {
  return problem_of_bytes(npy_bytes(header, data_bytes));
}

std::string problem_of_shape(const std::string& shape, std::size_t data_bytes = 24) {
  return problem_of_header("{'descr':'<f4','fortran_order':False,'shape':" + shape + "}",
                           data_bytes);
}

std::string problem_of_descr(const std::string& descr) {
  return problem_of_header("{'descr':" + descr + ",'fortran_order':False,'shape':(2,3)}");
}

std::string problem_of_fixture(const std::string& name) {
  return problem_of_bytes(read_file(fixture_path(name)));
}

TEST(NpyDamage, TruncationAtEveryByteIsRefused) {
  for (const char* name : {"f4.npy", "fortran_f8.npy", "v2.npy", "v3.npy", "scalar.npy"}) {
    const Bytes whole = read_file(fixture_path(name));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_NE(problem_of_bytes(cut), "") << name << " cut to " << size;
    }
  }
}

TEST(NpyDamage, TrailingBytesAreRefused) {
  Bytes bytes = read_file(fixture_path("f8.npy"));
  bytes.push_back(std::byte{0});
  EXPECT_EQ(problem_of_bytes(bytes), "holds 97 bytes of data; 12 elements of <f8 take 96");
}

TEST(NpyDamage, TheStartMustBeRight) {
  EXPECT_EQ(problem_of_bytes({}), "does not begin as a .npy file (\\x93NUMPY)");
  EXPECT_EQ(problem_of_fixture("one.safetensors"), "does not begin as a .npy file (\\x93NUMPY)");
  EXPECT_EQ(problem_of_fixture("archive.npz"),
            "is a zip archive (.npz); unpack it and give its .npy files");
  for (const auto& [major, minor] : {std::pair{0, 0}, {4, 0}, {1, 1}, {255, 255}}) {
    Bytes bytes = read_file(fixture_path("f4.npy"));
    bytes[6] = static_cast<std::byte>(major);
    bytes[7] = static_cast<std::byte>(minor);
    EXPECT_EQ(problem_of_bytes(bytes), "has version " + std::to_string(major) + "." +
                                           std::to_string(minor) +
                                           "; 1.0, 2.0 and 3.0 are supported");
  }
}

TEST(NpyDamage, AHeaderLengthMustFitTheFile) {
  Bytes bytes = npy_bytes("{}", 0);
  bytes[8] = std::byte{3};
  EXPECT_EQ(problem_of_bytes(bytes), "header length 3 exceeds the 2 bytes that follow it");
  bytes[8] = bytes[9] = std::byte{0xff};
  EXPECT_EQ(problem_of_bytes(bytes), "header length 65535 exceeds the 2 bytes that follow it");
  bytes[8] = bytes[9] = std::byte{0};
  EXPECT_EQ(problem_of_bytes(bytes), "header, byte 0: expected '{', found its end");
}

TEST(NpyDamage, AHeaderLengthIsLimited) {
  const std::string end(100'000, ' ');
  const auto version2 = [&](std::string length) {
    return bytes_of(std::string("\x93NUMPY\x02\x00", 8) + length + end);
  };
  EXPECT_EQ(problem_of_bytes(version2(std::string("\x01\x00\x01\x00", 4))),
            "header length 65537 exceeds the limit 65536");
  EXPECT_EQ(problem_of_bytes(version2("\xff\xff\xff\xff")),
            "header length 4294967295 exceeds the limit 65536");
  EXPECT_EQ(problem_of_bytes(version2(std::string("\x00\x00\x01\x00", 4))),
            "header, byte 65536: expected '{', found its end");
}

TEST(NpyDamage, ObjectArraysAreNeverRead) {
  EXPECT_EQ(problem_of_fixture("objects.npy"),
            "element type \"|O\" holds Python objects (pickle), which are never read");
  EXPECT_EQ(problem_of_descr("'O'"),
            "element type \"O\" holds Python objects (pickle), which are never read");
  EXPECT_EQ(problem_of_descr("'|O8'"),
            "element type \"|O8\" holds Python objects (pickle), which are never read");
}

TEST(NpyDamage, OtherTypesAreRefused) {
  EXPECT_EQ(problem_of_fixture("big_endian.npy"),
            "element type \">f4\" is big-endian; only little-endian is supported");
  EXPECT_EQ(problem_of_fixture("structured.npy"),
            "header, byte 10: structured arrays are not supported; save one field as f2, f4 or f8");
  EXPECT_EQ(problem_of_descr("('<f4', (2,))"),
            "header, byte 9: structured arrays are not supported; save one field as f2, f4 or f8");
  const std::string rest =
      "\" is not supported; it must be <f2, <f4, <f8, or <V2 with --npy-dtype bf16";
  EXPECT_EQ(problem_of_fixture("integers.npy"), "element type \"<i4" + rest);
  EXPECT_EQ(problem_of_fixture("strings.npy"), "element type \"<U2" + rest);
  for (const char* descr : {"", "<", "f4", "|f4", "<f", "<f3", "<f16", "<f4 ", "<c8", "|b1", "|V1",
                            "<V4", ">V2", "<<f4", "<f4,<f4", "float32"}) {
    EXPECT_EQ(problem_of_descr(std::string("'") + descr + "'"),
              "element type \"" + std::string(descr) + rest);
  }
}

TEST(NpyDamage, TheThreeKeysAppearExactlyOnce) {
  EXPECT_EQ(problem_of_header("{}"), "header, byte 2: has no key descr");
  EXPECT_EQ(problem_of_header("{'descr':'<f4','shape':()}"),
            "header, byte 26: has no key fortran_order");
  EXPECT_EQ(problem_of_header("{'descr':'<f4','fortran_order':False}"),
            "header, byte 37: has no key shape");
  EXPECT_EQ(problem_of_header("{'descr':'<f4','descr':'<f4'}"),
            "header, byte 22: repeats the key descr");
  EXPECT_EQ(problem_of_header("{'shape':(),'shape':()}"), "header, byte 19: repeats the key shape");
  EXPECT_EQ(problem_of_header("{'fortran_order':True,'fortran_order':True}"),
            "header, byte 37: repeats the key fortran_order");
  EXPECT_EQ(problem_of_header("{'order':'C'}"),
            "header, byte 8: unknown key \"order\"; the keys are descr, fortran_order and shape");
}

TEST(NpyDamage, OnlyTheDictionaryIsUnderstood) {
  for (const char* header :
       {"[]",
        "()",
        "None",
        "dict()",
        "{'descr'}",
        "{'descr':}",
        "{descr:'<f4'}",
        "{'descr' '<f4'}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)",
        "{,}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)}}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)} x",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3),,}",
        "{'descr':'<f4' 'fortran_order':False,'shape':(2,3)}",
        "{'descr':'<f4','fortran_order':0,'shape':(2,3)}",
        "{'descr':'<f4','fortran_order':false,'shape':(2,3)}",
        "{'descr':'<f4','fortran_order':Falsey,'shape':(2,3)}",
        "{'descr':'<f4\\x00','fortran_order':False,'shape':(2,3)}",
        "{'descr':'<f4\",'fortran_order':False,'shape':(2,3)}",
        "{'descr':u'<f4','fortran_order':False,'shape':(2,3)}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,3)} # comment",
        "{'descr':__import__('os').system('true'),'fortran_order':False,'shape':(2,3)}"}) {
    EXPECT_TRUE(problem_of_header(header).starts_with("header, byte ")) << header;
  }
  EXPECT_NE(problem_of_header(std::string(60'000, '{')), "");
  EXPECT_NE(problem_of_header(std::string_view("{'descr':'<f4',\0}", 17)), "");
  EXPECT_NE(problem_of_header("\xef\xbb\xbf{}"), "");
}

TEST(NpyDamage, AShapeIsATupleOfUnsignedIntegers) {
  for (const char* shape :
       {"6", "(6)", "[6]", "(-6,)", "(6.0,)", "('6',)", "(6,,)", "(,)", "(2 3)", "(06,)", "(0x6,)",
        "(6_0,)", "(True,)", "((6,),)", "(2,3", "None", "(+6,)", "(6LL,)"}) {
    EXPECT_TRUE(problem_of_shape(shape).starts_with("header, byte ")) << shape;
  }
  EXPECT_EQ(problem_of_shape("(6)"), "header, byte 48: a shape of one extent needs a comma: (3,)");
  EXPECT_EQ(problem_of_shape("(1,1,1,1,1,1,1,1,6)"), "header, byte 62: rank exceeds the limit 8");
}

TEST(NpyDamage, ExtentsThatWrapAreRefused) {
  EXPECT_EQ(problem_of_shape("(9223372036854775808,)"),
            "header, byte 64: extent exceeds the limit 9223372036854775807");
  EXPECT_NE(problem_of_shape("(" + std::string(1000, '9') + ",)"), "");
  const std::string wraps = "the product of its extents exceeds the limit 9223372036854775807";
  EXPECT_EQ(problem_of_shape("(4294967296, 4294967296)", 0), wraps);
  EXPECT_EQ(problem_of_shape("(0, 4294967296, 4294967296)", 0), wraps);
  EXPECT_EQ(problem_of_shape("(4611686018427387905,)", 4),
            "holds 4 bytes of data; 4611686018427387905 elements of <f4 take more than 2^63");
}

TEST(NpyDamage, TheDataHasExactlyItsLength) {
  EXPECT_EQ(problem_of_shape("(2,3)", 23), "holds 23 bytes of data; 6 elements of <f4 take 24");
  EXPECT_EQ(problem_of_shape("(2,3)", 25), "holds 25 bytes of data; 6 elements of <f4 take 24");
  EXPECT_EQ(problem_of_shape("()", 0), "holds 0 bytes of data; 1 elements of <f4 take 4");
  EXPECT_EQ(problem_of_shape("(0,)", 4), "holds 4 bytes of data; 0 elements of <f4 take 0");
}

TEST(NpyDamage, AHugeFortranArrayAllocatesNothingBeforeItsLengthIsChecked) {
  EXPECT_EQ(
      problem_of_header("{'descr':'<f8','fortran_order':True,'shape':(1073741824,1048576)}", 8),
      "holds 8 bytes of data; 1125899906842624 elements of <f8 take 9007199254740992");
}

TEST(NpyDamage, AnEmptyFileIsRefused) {
  const ScratchFolder folder;
  write_file(folder.file("empty.npy"), "");
  EXPECT_EQ(problem_of([&] { NpyFile::open(folder.file("empty.npy")); }, folder.file("empty.npy")),
            "does not begin as a .npy file (\\x93NUMPY)");
}

}  // namespace
}  // namespace cuqat::io::testing
