// Ways of running the same device work that must not change a bit, and what can be told of a call.
// A program links one implementation: device_orders_simt.cpp (orders of threads on the executor) or
// device_orders_gpu.cpp (grids, streams and graphs on a GPU). Tests of both know only this header.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>

#include "cuqat/device_context.hpp"

namespace cuqat::test {

/// A stream and a context on it, for as long as the process runs.
struct DeviceUnderTest {
  cudaStream_t stream;
  DeviceContext context;
  bool in_graph = false;  ///< Work is captured, and runs as a graph.
};

/// The one that the order set last asks for.
DeviceUnderTest& device_under_test();

/// Order 0 is the plain one, which holds before any is set.
int num_device_orders();
std::string device_order_name(int order);
/// Holds for all later work.
void set_device_order(int order);

/// Runs the work on the device under test, as its order says, and waits.
void run_on_device(const std::function<void()>& work);

/// What went wrong on the device so far, or an empty text.
std::string device_fault();

/// What a call puts on the stream.
struct Enqueued {
  int kernels = 0;
  int others = 0;        ///< Copies, memsets, allocations, waits.
  int largest_grid = 0;  ///< Blocks of a kernel.
};
/// On a GPU the call is captured, not run: allocating and waiting are errors there.
Enqueued enqueued_by(const std::function<void()>& call);

/// How much is enough to see a result that depends on timing, where there is any: elements of one
/// tensor, and runs of the same work in each order.
std::int64_t num_repeated_elements();
int num_repeats();
/// More than an int counts, where there is memory for them.
std::int64_t num_large_elements();

}  // namespace cuqat::test
