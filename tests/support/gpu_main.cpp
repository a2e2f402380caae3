// Tests on a GPU: without one they are skipped, loudly and by an exit status of 77, never passed.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <exception>
#include <iostream>

#include "cuqat/device_context.hpp"
#include "cuqat/error.hpp"

namespace {

constexpr int kSkipped = 77;

bool is_there_a_gpu() {
  int num_devices = 0;
  return cudaGetDeviceCount(&num_devices) == cudaSuccess && num_devices > 0;
}

int run() {
  try {
    const cuqat::DeviceContext probe;
  } catch (const cuqat::BackendUnavailable& error) {
    if (is_there_a_gpu()) throw;  // Built for another architecture, which is a mistake.
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
