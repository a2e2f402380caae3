#include "io/error.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace cuqat::io {
namespace {

TEST(FileError, NamesTheFileAndTheProblem) {
  const FileError error("a.npy", "is empty");
  EXPECT_STREQ(error.what(), "a.npy: is empty");
  EXPECT_EQ(error.path(), "a.npy");
}

TEST(FileError, IsADataError) { EXPECT_THROW(throw FileError("a", "b"), DataError); }

TEST(FileError, StaysOnOneLineAndMovesNoCursor) {
  EXPECT_STREQ(FileError("a\nb", "c\x1b[2Jd\x7f").what(), "a\\x0ab: c\\x1b[2Jd\\x7f");
  EXPECT_STREQ(FileError("a",
                         "\xc2\x9b"
                         "2J")
                   .what(),
               "a: \\xc2\\x9b2J");
}

TEST(FileError, KeepsUtf8AndEscapesWhatIsNot) {
  EXPECT_STREQ(FileError("\xc3\xa9", "\xe2\x98\x83 \xf0\x9f\x98\x80").what(),
               "\xc3\xa9: \xe2\x98\x83 \xf0\x9f\x98\x80");
  // Cut short, too long, a surrogate, past U+10FFFF.
  EXPECT_STREQ(FileError("a", "\xe2\x98").what(), "a: \\xe2\\x98");
  EXPECT_STREQ(FileError("a", "\xc0\xaf").what(), "a: \\xc0\\xaf");
  EXPECT_STREQ(FileError("a", "\xe0\x80\x80").what(), "a: \\xe0\\x80\\x80");
  EXPECT_STREQ(FileError("a", "\xed\xa0\x80").what(), "a: \\xed\\xa0\\x80");
  EXPECT_STREQ(FileError("a", "\xf4\x90\x80\x80").what(), "a: \\xf4\\x90\\x80\\x80");
}

TEST(InQuotes, CutsLongNamesBetweenCharacters) {
  EXPECT_EQ(in_quotes("name"), "\"name\"");
  EXPECT_EQ(in_quotes(std::string(100, 'x')), '"' + std::string(100, 'x') + '"');
  EXPECT_EQ(in_quotes(std::string(101, 'x')), '"' + std::string(100, 'x') + "...\"");
  EXPECT_EQ(in_quotes(std::string(99, 'x') + "\xc3\xa9"), '"' + std::string(99, 'x') + "...\"");
}

TEST(SystemProblem, GivesTheSystemsReason) {
  EXPECT_EQ(system_problem("cannot write", ENOSPC), "cannot write: No space left on device");
}

}  // namespace
}  // namespace cuqat::io
