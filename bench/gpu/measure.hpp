// How the rows on a GPU are measured.
//
// A row's call, a copy by cudaMemcpyAsync, a copy and a read by plain kernels, all of the bytes
// that the call must move, take turns, timed by events on the device; the result is the median of
// the ratios and their interquartile range. A turn whose copies before and after differ by more
// than 3 % is dropped: clocks moved. Everything that is timed runs as a graph, and calls shorter
// than 200 us several at once; what a call costs the host is measured apart. A read comes before
// all that writes, so that nothing has to write back what something else left in the L2 cache.
//
// Cold rows go round as many buffers as exceed four times the L2 cache. The buffers of a warm row
// are a quarter of it, those of its copies another.
//
// Results are compared with the host library's, all of them, before the timing; then they are
// overwritten, and what the timed calls left is compared again.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace cuqat::bench {

/// Bytes that one call must read and write.
struct Traffic {
  std::int64_t read = 0;
  std::int64_t written = 0;

  [[nodiscard]] std::int64_t total() const { return read + written; }
};

/// What a row measures, with its buffers, of which there are several sets.
class Operation {
 public:
  virtual ~Operation() = default;
  /// Puts one call on the stream.
  virtual void run(int set, cudaStream_t stream) const = 0;
  /// Compares what run(set) has written with the host library's answer: empty, or what is wrong.
  [[nodiscard]] virtual std::string difference(int set) const = 0;
  /// Overwrites what run(set) writes.
  virtual void forget(int set) const = 0;
};

struct Row {
  std::string name;
  std::function<Traffic(std::int64_t count)> traffic;
  std::function<std::unique_ptr<Operation>(std::int64_t count, int num_sets)> make;
};

/// Registers the benchmarks "<name> cold", of element_count() elements, and "<name> warm".
void register_row(const Row& row);

/// Elements of the cold rows' tensors: CUQAT_BENCH_COUNT, or 2^28.
std::int64_t element_count();

}  // namespace cuqat::bench
