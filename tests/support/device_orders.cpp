// What both implementations of device_orders.hpp share.
#include "support/device_orders.hpp"

#include <gtest/gtest.h>

namespace cuqat::test {

void run_on_device(const std::function<void()>& work) {
  const DeviceUnderTest& device = device_under_test();
  if (!device.in_graph) {
    work();
    EXPECT_EQ(cudaStreamSynchronize(device.stream), cudaSuccess);
    return;
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(device.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  work();
  ASSERT_EQ(cudaStreamEndCapture(device.stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(executable, device.stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(device.stream), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

}  // namespace cuqat::test
