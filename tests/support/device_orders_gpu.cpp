// Grids, streams and graphs on a GPU, whose threads run in an order of its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "conformance/cases.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

struct Order {
  const char* name;
  int num_multiprocessors;  ///< That grids are made for; 0: the device's.
  int stream;
  bool in_graph;
};

// One multiprocessor makes every loop long; 1000 are more than there are, so blocks come in waves.
constexpr std::array kOrders = {
    Order{"whole_device", 0, 0, false}, Order{"one_multiprocessor", 1, 0, false},
    Order{"three_multiprocessors_second_stream", 3, 1, false},
    Order{"thousand_multiprocessors_second_stream", 1000, 1, false}, Order{"graph", 0, 0, true}};

int current_order = 0;

/// The streams are blocking ones: tests fill device memory by cudaMemcpy and cudaMemset, which may
/// return before it is written, and only a blocking stream comes after them.
std::vector<DeviceUnderTest> make_devices() {
  std::array<cudaStream_t, 2> streams{};
  for (cudaStream_t& stream : streams) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), cudaSuccess);
  }
  std::vector<DeviceUnderTest> devices;
  for (const Order& order : kOrders) {
    DeviceContext::Options options;
    options.num_multiprocessors = order.num_multiprocessors;
    devices.push_back(
        {streams[static_cast<std::size_t>(order.stream)], DeviceContext(options), order.in_graph});
  }
  return devices;
}

}  // namespace

DeviceUnderTest& device_under_test() {
  static std::vector<DeviceUnderTest> devices = make_devices();
  return devices[static_cast<std::size_t>(current_order)];
}

int num_device_orders() { return static_cast<int>(kOrders.size()); }

std::string device_order_name(int order) { return kOrders[static_cast<std::size_t>(order)].name; }

void set_device_order(int order) { current_order = order; }

std::string device_fault() {
  const cudaError_t error = cudaPeekAtLastError();
  return error == cudaSuccess ? "" : cudaGetErrorName(error);
}

Enqueued enqueued_by(const std::function<void()>& call) {
  const cudaStream_t stream = device_under_test().stream;
  Enqueued result;
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  call();
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream, &graph) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return {0, 1, 0};  // something that a capture forbids
  }
  std::size_t count = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
  std::vector<cudaGraphNode_t> nodes(count);
  EXPECT_EQ(cudaGraphGetNodes(graph, nodes.data(), &count), cudaSuccess);
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    EXPECT_EQ(cudaGraphNodeGetType(node, &type), cudaSuccess);
    if (type != cudaGraphNodeTypeKernel) {
      ++result.others;
      continue;
    }
    ++result.kernels;
    cudaKernelNodeParams kernel{};
    EXPECT_EQ(cudaGraphKernelNodeGetParams(node, &kernel), cudaSuccess);
    const dim3 grid = kernel.gridDim;
    result.largest_grid = std::max(result.largest_grid, static_cast<int>(grid.x * grid.y * grid.z));
  }
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return result;
}

// compute-sanitizer, for whose sake there is a stride, takes tens of times as long.
std::int64_t num_repeated_elements() { return 10'000'019 / static_cast<std::int64_t>(kCaseStride); }
int num_repeats() { return kCaseStride == 1 ? 100 : 4; }
std::int64_t num_large_elements() {
  const char* const text = std::getenv("CUQAT_LARGE_COUNT");
  return text == nullptr ? std::int64_t{1} << 31 : std::atoll(text);
}

}  // namespace cuqat::test
