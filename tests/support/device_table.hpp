// The device functions as a table of operations over host memory: each call copies its tensors to
// the device, at the same alignment and between guard zones, runs there, and copies back.
#pragma once

#include "support/backends.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {

/// What there is on the device; other entries are null. fake_quantize of whole tensors also asks
/// for the statistics of x, and fails the test where they are not the reference's. Gradients of
/// learned scales take 1 / sqrt(N * qmax) for each scale.
Table device_table();

}  // namespace cuqat::test
