// What a test sees of the executor: the order of threads, faults, counts, and calls made to fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

/// The order in which the threads of a block run, and the blocks of a grid.
struct Order {
  enum class Kind {
    kForward,
    kReverse,
    kWarpInterleaved,  ///< Lane 0 of every warp, then lane 1; blocks shuffled.
    kOneWarpAhead,     ///< A warp chosen by the seed runs whenever it can; blocks
                       ///< shuffled.
    kRandom            ///< Another thread at each step, before atomics too; blocks
                       ///< shuffled.
  };
  Kind kind = Kind::kForward;
  std::uint64_t seed = 0;

  [[nodiscard]] std::string name() const;  ///< Letters, digits and underscores.
};

/// Holds for every later launch.
void set_order(Order order);
/// Every kind, and `num_random` seeds of the random one.
[[nodiscard]] std::vector<Order> all_orders(int num_random);

/// The first fault since reset(), or an empty text. Faults inside a kernel are sticky: every later
/// call returns cudaErrorLaunchFailure; calls that release something do their work all the same.
/// Misuse of the runtime (launch limits, dead handles, wild pointers) returns CUDA's error and
/// leaves a text here as well.
[[nodiscard]] std::string fault();

/// Back to the start: no fault, no error, no planned failure, counts zero, launches numbered from
/// 0, forward order. Memory, streams, events and graphs stay.
void reset();

/// Calls, successful or not, captured or not. A blocking copy counts as a copy and as a wait.
struct Counters {
  int launches = 0;
  int largest_grid = 0;  ///< Blocks of a launch.
  int graph_launches = 0;
  int allocations = 0;
  int async_allocations = 0;
  int frees = 0;
  int async_frees = 0;
  int copies = 0;
  int memsets = 0;
  int heuristics = 0;  ///< Questions to cuBLASLt for the ways to make a product.
  int waits = 0;       ///< For a stream, an event, the device or a blocking copy.
};
[[nodiscard]] Counters counters();
void reset_counters();

/// The n-th call from now, n from 1, fails and does nothing; 0 calls that off. Calls that release
/// something neither count nor fail: no caller could do anything about it.
void fail_call(int n);
/// True until that call has come.
[[nodiscard]] bool failure_pending();

/// Allocations of device or pinned memory that nobody freed. A graph's own memory counts until the
/// graph and its executables are destroyed.
[[nodiscard]] std::size_t leaked_allocations();
/// Streams, events, graphs, executables and what cuBLASLt created that nobody destroyed.
[[nodiscard]] std::size_t leaked_handles();

void set_multiprocessor_count(int count);  ///< 4 unless set.

void set_compute_capability(int ten_times);      ///< 90 unless set.
void set_cublaslt_version(std::size_t version);  ///< 130000 unless set.

/// What a block may ask for: 227 KiB, sm_90's, unless set. Architectures differ: 64 KiB of sm_75,
/// 99 of sm_86, 89 and 120, 163 of sm_80.
void set_max_shared_bytes(std::size_t bytes);

/// cudaError_t that cudaGetDevice, and cudaFuncGetAttributes, give until reset(): as on a machine
/// without a driver, and of a device that the program has no code for.
void set_device_error(int error);
void set_kernel_error(int error);

}  // namespace simt
