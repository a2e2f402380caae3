// The executor's other device.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

namespace cuqat::test {

/// A device other than the first is current until the end of its scope.
class SecondDevice {
 public:
  SecondDevice() { EXPECT_EQ(cudaSetDevice(1), cudaSuccess); }
  ~SecondDevice() { EXPECT_EQ(cudaSetDevice(0), cudaSuccess); }
  SecondDevice(const SecondDevice&) = delete;
  SecondDevice& operator=(const SecondDevice&) = delete;
};

}  // namespace cuqat::test
