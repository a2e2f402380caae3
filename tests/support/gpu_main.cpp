// Tests on a GPU: without one they are skipped, loudly and by an exit status of 77, never passed.
#include <gtest/gtest.h>

#include <exception>
#include <iostream>

#include "cuqat/device_context.hpp"
#include "cuqat/error.hpp"

namespace {

constexpr int kSkipped = 77;

int run() {
  try {
    const cuqat::DeviceContext probe;
  } catch (const cuqat::BackendUnavailable& error) {
    std::cout << "SKIPPED, NOTHING WAS TESTED: " << error.what() << '\n';
    return kSkipped;
  }
  const int status = RUN_ALL_TESTS();
  if (status != 0 || testing::UnitTest::GetInstance()->successful_test_count() > 0) return status;
  std::cout << "SKIPPED, NOTHING WAS TESTED: no test ran to its end\n";
  return kSkipped;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    return run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
