// Damaged and hostile safetensors files: each is refused with its reason.
#include <limits>

#include "io/safetensors.hpp"
#include "support.hpp"

namespace cuqat::io::testing {
namespace {

std::string problem_of_bytes(const Bytes& bytes) {
  return problem_of([&] { SafetensorsFile::parse(bytes, "file"); });
}

std::string problem_of_header(std::string_view header, std::size_t data_bytes = 4) {
  return problem_of_bytes(safetensors_bytes(header, data_bytes));
}

// One tensor "x" with this JSON for its entry, over four bytes of data.
std::string problem_of_tensor(std::string_view entry) {
  return problem_of_header("{\"x\":" + std::string(entry) + "}");
}

// One F32 tensor "x" with these pieces of JSON, over four bytes of data.
std::string problem_of_shape(const std::string& shape, const std::string& offsets = "[0,4]") {
  return problem_of_tensor(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets +
                           "}");
}

TEST(SafetensorsDamage, TruncationAtEveryByteIsRefused) {
  for (const char* name : {"one.safetensors", "mixed.safetensors", "no_tensors.safetensors"}) {
    const Bytes whole = read_file(fixture_path(name));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A buffer of its own, so that a sanitizer sees a read past the cut.
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_NE(problem_of_bytes(cut), "") << name << " cut to " << size;
    }
  }
}

TEST(SafetensorsDamage, TrailingBytesAreRefused) {
  Bytes bytes = read_file(fixture_path("one.safetensors"));
  bytes.push_back(std::byte{0});
  EXPECT_EQ(problem_of_bytes(bytes), "tensors take 8 bytes of data; the file has 9");
}

TEST(SafetensorsDamage, AHeaderLengthMustFitTheFile) {
  const auto problem = [](std::uint64_t length) {
    return problem_of_bytes(safetensors_bytes(length, "{}", 0));
  };
  EXPECT_EQ(problem(3), "header length 3 exceeds the 2 bytes that follow it");
  EXPECT_EQ(problem(100'000'000), "header length 100000000 exceeds the 2 bytes that follow it");
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t length : {std::uint64_t{100'000'001}, std::uint64_t{1} << 32,
                                     std::uint64_t{1} << 63, kMax - 7, kMax}) {
    EXPECT_EQ(problem(length), "header length " + std::to_string(length) +
                                   " exceeds the limit 100000000; is it a safetensors file?");
  }
  EXPECT_EQ(problem(0), "header must begin with '{', not \"\"");
  EXPECT_NE(problem(1), "");
}

TEST(SafetensorsDamage, TheHeaderMustBeOneObject) {
  EXPECT_EQ(problem_of_header("[]"), "header must begin with '{', not \"[\"");
  EXPECT_EQ(problem_of_header(" {}"), "header must begin with '{', not \" \"");
  EXPECT_EQ(problem_of_header("\"x\""), "header must begin with '{', not \"\"\"");
  EXPECT_EQ(problem_of_header("\xef\xbb\xbf{}"), "header must begin with '{', not \"\\xef\"");
  for (const std::string_view header :
       {"{", "{}}", "{}{}", "{},", "{} x", "{\"x\"", "{\"x\":", "{x:1}", "{,}", "{'x':1}"}) {
    EXPECT_TRUE(problem_of_header(header).starts_with("header is no JSON: parse error at line 1"))
        << header;
  }
}

TEST(SafetensorsDamage, NulBytesAreRefused) {
  EXPECT_EQ(problem_of_header(std::string_view("{}\0", 3)), "header holds a NUL at byte 2");
  EXPECT_EQ(problem_of_header(std::string_view("{}\0garbage", 10)), "header holds a NUL at byte 2");
  EXPECT_EQ(problem_of_header(std::string_view("{\"\0\":1}", 7)), "header holds a NUL at byte 2");
}

TEST(SafetensorsDamage, NamesMustBeUtf8) {
  EXPECT_TRUE(problem_of_header("{\"\xff\":1}").starts_with("header is no JSON: "));
  EXPECT_TRUE(problem_of_header("{\"\xc0\x80\":1}").starts_with("header is no JSON: "));
  EXPECT_TRUE(problem_of_header("{\"\\ud800\":1}").starts_with("header is no JSON: "));
}

TEST(SafetensorsDamage, NestingIsRefusedAtOnce) {
  EXPECT_EQ(problem_of_shape("[[1]]"),
            "tensor \"x\": an extent of its shape must be an unsigned integer, not an array");
  EXPECT_EQ(problem_of_tensor("[]"), "tensor \"x\" must be an object, not an array");
  EXPECT_EQ(problem_of_shape("{}"),
            "tensor \"x\": shape must be an array of unsigned integers, not an object");
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "{\"a\":";
  EXPECT_NE(problem_of_header(deep), "");
  EXPECT_NE(problem_of_header("{\"x\":" + std::string(1'000'000, '[')), "");
}

TEST(SafetensorsDamage, RepeatedKeysAreRefused) {
  const std::string empty = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  EXPECT_EQ(problem_of_header("{\"x\":" + empty + ",\"y\":" + empty + ",\"x\":" + empty + "}", 0),
            "header repeats the tensor \"x\"");
  EXPECT_EQ(problem_of_header("{\"x\":" + empty + ",\"\\u0078\":" + empty + "}", 0),
            "header repeats the tensor \"x\"");
  EXPECT_EQ(problem_of_tensor(R"({"dtype":"F32","dtype":"F32"})"),
            "tensor \"x\": repeats the key dtype");
  EXPECT_EQ(problem_of_tensor(R"({"shape":[],"shape":[]})"), "tensor \"x\": repeats the key shape");
  EXPECT_EQ(problem_of_tensor(R"({"data_offsets":[0,4],"data_offsets":[0,4]})"),
            "tensor \"x\": repeats the key data_offsets");
  EXPECT_EQ(problem_of_header(R"({"__metadata__":{"a":"1","a":"2"}})", 0),
            "__metadata__ repeats the key \"a\"");
  EXPECT_EQ(problem_of_header(R"({"__metadata__":{},"__metadata__":{}})", 0),
            "header repeats __metadata__");
}

TEST(SafetensorsDamage, AnEntryHasItsThreeKeysAndNoOther) {
  EXPECT_EQ(problem_of_tensor("{}"), "tensor \"x\": has no dtype");
  EXPECT_EQ(problem_of_tensor(R"({"dtype":"F32"})"), "tensor \"x\": has no shape");
  EXPECT_EQ(problem_of_tensor(R"({"dtype":"F32","shape":[]})"),
            "tensor \"x\": has no data_offsets");
  EXPECT_EQ(problem_of_tensor(R"({"dtype":"F32","shape":[],"data_offsets":[0,4],"s":1})"),
            "tensor \"x\": unknown key \"s\"; the keys are dtype, shape and data_offsets");
}

TEST(SafetensorsDamage, MetadataMapsStringsToStrings) {
  EXPECT_EQ(problem_of_header(R"({"__metadata__":1})"),
            "__metadata__ must be an object of strings, not 1");
  EXPECT_EQ(problem_of_header(R"({"__metadata__":null})"),
            "__metadata__ must be an object of strings, not null");
  EXPECT_EQ(problem_of_header(R"({"__metadata__":{"a":1}})"),
            "__metadata__ entry \"a\" must be a string, not 1");
  EXPECT_EQ(problem_of_header(R"({"__metadata__":{"a":{}}})"),
            "__metadata__ entry \"a\" must be a string, not an object");
}

TEST(SafetensorsDamage, EveryValueHasItsType) {
  for (const char* value : {"1", "-1", "1.5", "true", "null", "\"s\"", "[]"}) {
    EXPECT_TRUE(problem_of_tensor(value).starts_with("tensor \"x\" must be an object, not "))
        << value;
  }
  for (const char* value : {"1", "-1", "1.5", "false", "null", "{}", "[]"}) {
    EXPECT_TRUE(problem_of_tensor(std::string("{\"dtype\":") + value + "}")
                    .starts_with("tensor \"x\": dtype must be a string, not "))
        << value;
  }
  for (const char* value : {"1", "-1", "1.5", "true", "null", "\"s\"", "{}"}) {
    EXPECT_TRUE(problem_of_shape(value).starts_with(
        "tensor \"x\": shape must be an array of unsigned integers, not "))
        << value;
  }
}

TEST(SafetensorsDamage, NumbersOfEntriesAreLimited) {
  const auto parse = [](const std::string& header, std::size_t data_bytes) {
    SafetensorsFile::parse(safetensors_bytes(header, data_bytes), "file");
  };
  const auto repeated = [](int times, const std::string& before, const std::string& after) {
    std::string list = before + "0" + after;
    for (int i = 1; i < times; ++i) list += "," + before + std::to_string(i) + after;
    return list;
  };
  const auto shape = [](int rank) {
    std::string extents = "1";
    for (int i = 1; i < rank; ++i) extents += ",1";
    return "{\"x\":{\"dtype\":\"F32\",\"shape\":[" + extents + "],\"data_offsets\":[0,4]}}";
  };
  EXPECT_NO_THROW(parse(shape(64), 4));
  EXPECT_EQ(problem_of_header(shape(65)), "tensor \"x\": rank exceeds the limit 64");

  const auto metadata = [&](int times) {
    return "{\"__metadata__\":{" + repeated(times, "\"", "\":\"\"") + "}}";
  };
  EXPECT_NO_THROW(parse(metadata(65'536), 0));
  EXPECT_EQ(problem_of_header(metadata(65'537), 0),
            "number of __metadata__ entries exceeds the limit 65536");

  const auto tensors = [&](int times) {
    return "{" + repeated(times, "\"", R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})") +
           "}";
  };
  EXPECT_NO_THROW(parse(tensors(262'144), 0));
  EXPECT_EQ(problem_of_header(tensors(262'145), 0), "number of tensors exceeds the limit 262144");
}

TEST(SafetensorsDamage, ExtentsAreUnsignedIntegers) {
  for (const char* value :
       {"-1", "-0", "1.0", "1e0", "\"1\"", "true", "null", "{}", "[]", "18446744073709551616",
        "99999999999999999999999999999999999999999999"}) {
    EXPECT_TRUE(problem_of_shape(std::string("[") + value + "]")
                    .starts_with("tensor \"x\": an extent of its shape must be an unsigned "
                                 "integer, not "))
        << value;
  }
  EXPECT_EQ(problem_of_shape("[18446744073709551615]"),
            "tensor \"x\": extent 18446744073709551615 exceeds the limit 9223372036854775807");
}

TEST(SafetensorsDamage, AShapeWhoseProductWrapsIsRefused) {
  const std::string problem =
      "tensor \"x\": the product of its extents exceeds the limit 9223372036854775807";
  // The first two products are 2^64 and 2^64 + 1, so 0 and 1 where they wrap.
  EXPECT_EQ(problem_of_shape("[4294967296,4294967296]"), problem);
  EXPECT_EQ(problem_of_shape("[274177,67280421310721]"), problem);
  EXPECT_EQ(problem_of_shape("[4611686018427387904,2]"), problem);
  EXPECT_EQ(problem_of_shape("[0,4294967296,4294967296]", "[0,0]"), problem);
  EXPECT_EQ(problem_of_shape("[4294967296,4294967296,0]", "[0,0]"), problem);
}

TEST(SafetensorsDamage, AByteCountThatWrapsIsRefused) {
  // 4 x (2^62 + 1) is 4 where it wraps.
  EXPECT_EQ(problem_of_shape("[4611686018427387905]"),
            "tensor \"x\": 4611686018427387905 elements of 32 bits are no whole number of bytes "
            "below 2^63");
  EXPECT_EQ(problem_of_tensor(R"({"dtype":"F4","shape":[7],"data_offsets":[0,4]})"),
            "tensor \"x\": 7 elements of 4 bits are no whole number of bytes below 2^63");
}

TEST(SafetensorsDamage, OffsetsAreTwoUnsignedIntegers) {
  const std::string start = "tensor \"x\": its data_offsets must be two unsigned integers, not ";
  EXPECT_EQ(problem_of_shape("[1]", "[]"), start + "none");
  EXPECT_EQ(problem_of_shape("[1]", "[0]"), start + "one");
  EXPECT_EQ(problem_of_shape("[1]", "[0,4,8]"), start + "more");
  EXPECT_EQ(problem_of_shape("[1]", "[-1,3]"), start + "-1");
  EXPECT_EQ(problem_of_shape("[1]", "[0,4.0]"), start + "4.0");
  EXPECT_EQ(problem_of_shape("[1]", "[0,[4]]"), start + "an array");
}

TEST(SafetensorsDamage, OffsetsStayInTheFile) {
  EXPECT_EQ(problem_of_shape("[1]", "[4,0]"),
            "tensor \"x\": data_offsets [4, 0] end before they begin");
  EXPECT_EQ(problem_of_shape("[2]", "[0,8]"), "tensor \"x\": data ends at byte 8 of 4");
  EXPECT_EQ(problem_of_shape("[1]", "[18446744073709551612,18446744073709551615]"),
            "tensor \"x\": data ends at byte 18446744073709551615 of 4");
  EXPECT_EQ(problem_of_shape("[1]", "[18446744073709551615,3]"),
            "tensor \"x\": data_offsets [18446744073709551615, 3] end before they begin");
  EXPECT_EQ(problem_of_shape("[2]", "[0,4]"),
            "tensor \"x\": data_offsets hold 4 bytes; F32 and the shape ask for 8");
}

TEST(SafetensorsDamage, HolesAndOverlapsAreRefused) {
  const auto problem = [](const std::string& a, const std::string& b) {
    const std::string entry = R"({"dtype":"U8","shape":[4],"data_offsets":)";
    return problem_of_header("{\"a\":" + entry + a + "},\"b\":" + entry + b + "}}", 12);
  };
  EXPECT_EQ(problem("[0,4]", "[8,12]"),
            "tensor \"b\": data begins at byte 8, leaving a hole after byte 4");
  EXPECT_EQ(problem("[8,12]", "[4,8]"),
            "tensor \"b\": data begins at byte 4, leaving a hole after byte 0");
  EXPECT_EQ(problem("[0,4]", "[2,6]"),
            "tensor \"b\": data begins at byte 2, inside another tensor's that ends at 4");
  EXPECT_EQ(problem("[0,4]", "[0,4]"),
            "tensor \"b\": data begins at byte 0, inside another tensor's that ends at 4");
  EXPECT_EQ(problem("[4,8]", "[0,4]"), "tensors take 8 bytes of data; the file has 12");
}

TEST(SafetensorsDamage, AnEmptyTensorInsideAnotherIsRefused) {
  EXPECT_EQ(problem_of_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                              R"("b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})"),
            "tensor \"b\": data begins at byte 2, inside another tensor's that ends at 4");
}

TEST(SafetensorsDamage, UnknownTypesAreRefused) {
  for (const char* dtype : {"", "F31", "f32", "F32 ", "F128", "I4", "O"}) {
    EXPECT_EQ(problem_of_tensor(R"({"dtype":")" + std::string(dtype) +
                                R"(","shape":[1],"data_offsets":[0,4]})"),
              "tensor \"x\": unknown dtype \"" + std::string(dtype) + "\"");
  }
}

TEST(SafetensorsDamage, NamesFromTheFileAreMadePrintable) {
  EXPECT_EQ(problem_of_header("{\"a\\n\\u001b[2J\":1}"),
            "tensor \"a\\x0a\\x1b[2J\" must be an object, not 1");
  EXPECT_LT(problem_of_header("{\"" + std::string(100'000, 'n') + "\":1}").size(), 200u);
}

TEST(SafetensorsDamage, OtherKindsOfFilesAreRefused) {
  EXPECT_NE(problem_of_bytes(read_file(fixture_path("f4.npy"))), "");
  EXPECT_NE(problem_of_bytes(read_file(fixture_path("archive.npz"))), "");
  const ScratchFolder folder;
  write_file(folder.file("empty"), "");
  EXPECT_EQ(problem_of([&] { SafetensorsFile::open(folder.file("empty")); }, folder.file("empty")),
            "is 0 bytes long; a safetensors file has at least 10");
}

}  // namespace
}  // namespace cuqat::io::testing
