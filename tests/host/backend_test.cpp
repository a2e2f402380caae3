// Backends are listed, asked for by name, and all give the same results.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cuqat/cuqat.hpp"

namespace cuqat::test {
namespace {

std::string refusal_of(std::string_view name) {
  try {
    Backend::named(name);
  } catch (const BackendUnavailable& error) {
    return error.what();
  }
  return "";
}

TEST(Backends, AreAllListed) {
  std::vector<std::string> names;
  for (const BackendInfo& info : list_backends()) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"cpu", "reference", "cuda"}));
}

TEST(Backends, AreGivenByNameExactlyWhereTheyAreUsable) {
  for (const BackendInfo& info : list_backends()) {
    EXPECT_FALSE(info.detail.empty()) << info.name;
    if (info.usable) {
      const Backend backend = Backend::named(info.name);
      EXPECT_EQ(backend.name(), info.name);
      EXPECT_EQ(backend.instruction_set(), info.detail);
    } else {
      EXPECT_NE(refusal_of(info.name).find(info.detail), std::string::npos) << info.name;
    }
  }
}

TEST(Backends, AutomaticIsTheCpu) {
  EXPECT_EQ(Backend::automatic().name(), "cpu");
  EXPECT_EQ(Backend::named("auto").name(), "cpu");
  EXPECT_EQ(HostOptions{}.backend.name(), "cpu");
}

TEST(Backends, RefuseAnUnknownNameAndSayWhichThereAre) {
  const std::string message = refusal_of("tpu");
  for (const char* part : {"\"tpu\"", "\"auto\"", "\"cpu\"", "\"reference\""}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_FALSE(refusal_of("").empty());
}

TEST(Backends, RefuseCudaAndSayWhy) {
  EXPECT_NE(refusal_of("cuda").find("this build has no CUDA backend"), std::string::npos);
}

TEST(Backends, GiveTheSameResultsWhenForced) {
  const std::vector<float> x{-0.0f, 0.5f, 1.5f, -129.0f, 126.5f, 1e30f};
  for (const char* name : {"reference", "cpu"}) {
    const HostOptions options{Backend::named(name), 1};
    std::vector<float> y(x.size());
    fake_quantize(x, {}, y, {}, options);
    EXPECT_EQ(y, (std::vector<float>{0.0f, 0.0f, 2.0f, -128.0f, 126.0f, 127.0f})) << name;
  }
}

}  // namespace
}  // namespace cuqat::test
