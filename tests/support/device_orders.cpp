// What both implementations of device_orders.hpp share.
#include "support/device_orders.hpp"

#include <gtest/gtest.h>

#include "support/captured_graph.hpp"

namespace cuqat::test {

void run_on_device(const std::function<void()>& work) {
  const DeviceUnderTest& device = device_under_test();
  if (!device.in_graph) {
    work();
    EXPECT_EQ(cudaStreamSynchronize(device.stream), cudaSuccess);
    return;
  }
  CapturedGraph(work, device.stream).run();
}

}  // namespace cuqat::test
