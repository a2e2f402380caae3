// Orders of threads on the executor, one of them within a graph.
#include <gtest/gtest.h>

#include <vector>

#include "simt/executor.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

constexpr int kNumRandomOrders = 20;

const std::vector<simt::Order>& thread_orders() {
  static const std::vector<simt::Order> kOrders = simt::all_orders(kNumRandomOrders);
  return kOrders;
}

bool is_graph(int order) { return order == static_cast<int>(thread_orders().size()); }

simt::Order order_of_threads(int order) {
  return is_graph(order) ? simt::Order{} : thread_orders()[static_cast<std::size_t>(order)];
}

}  // namespace

DeviceUnderTest& device_under_test() {
  static DeviceUnderTest device = [] {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    return DeviceUnderTest{stream, DeviceContext()};
  }();
  return device;
}

int num_device_orders() { return static_cast<int>(thread_orders().size()) + 1; }

std::string device_order_name(int order) {
  return is_graph(order) ? "graph" : order_of_threads(order).name();
}

void set_device_order(int order) {
  simt::set_order(order_of_threads(order));
  device_under_test().in_graph = is_graph(order);
}

std::string device_fault() { return simt::fault(); }

Enqueued enqueued_by(const std::function<void()>& call) {
  simt::reset_counters();
  call();
  const simt::Counters counted = simt::counters();
  return {counted.launches,
          counted.graph_launches + counted.allocations + counted.async_allocations + counted.frees +
              counted.async_frees + counted.copies + counted.memsets + counted.waits,
          counted.largest_grid};
}

// One thing happens after another here: the orders of threads are what counts.
std::int64_t num_repeated_elements() { return 20'011; }
int num_repeats() { return 2; }
// What shows here is that the test is right.
std::int64_t num_large_elements() { return 1 << 16; }

}  // namespace cuqat::test
