// The device functions as a table of operations over host memory: each call copies its tensors to
// the device, at the same alignment and between guard zones, runs there, and copies back.
#pragma once

#include <cuda_runtime.h>

#include "cuqat/device_context.hpp"
#include "support/backends.hpp"

namespace cuqat::test {

/// A stream and a context on it, for as long as the process runs.
struct DeviceUnderTest {
  cudaStream_t stream;
  DeviceContext context;
};
DeviceUnderTest& device_under_test();

/// quantize, dequantize, fake_quantize, both gradients, and statistics of whole tensors; the other
/// entries are null. fake_quantize of whole tensors also asks for the statistics of x, and fails
/// the test where they are not the reference's.
Table device_table();

}  // namespace cuqat::test
