// What every refusal of a caller's mistake must look like.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "cuqat/error.hpp"

namespace cuqat::test {

/// Expects InvalidArgument with a message that contains every part: the argument's name, its value
/// and the limit.
template <typename Call>
void expect_invalid(const Call& call, std::initializer_list<std::string_view> parts) {
  std::string message;
  try {
    call();
  } catch (const InvalidArgument& error) {
    message = error.what();
  }
  ASSERT_FALSE(message.empty()) << "no InvalidArgument was thrown";
  for (const std::string_view part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << '"' << part << "\" is not in: " << message;
  }
}

}  // namespace cuqat::test
