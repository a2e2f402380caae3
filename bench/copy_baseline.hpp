// What memory can do in the same run: a copy, or a plain read, of the bytes that an operation
// moves, with as many threads. Machines are shared and drift, so the two are measured in turns.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <functional>
#include <string>

namespace cuqat::bench {

/// Bytes that an operation must read and write.
struct Traffic {
  std::size_t read = 0;
  std::size_t written = 0;
};

/// Threads that benchmarks use: CUQAT_BENCH_THREADS, or 2.
int num_threads();

/// Elements of a benchmark's tensor: CUQAT_BENCH_COUNT, or 2^25.
std::int64_t element_count();

/// Registers a benchmark of `run`. Its "copy_ratio" is the median of time over the time of a copy
/// (where something is written) or a read of the same bytes, measured before and after each run.
/// `check` runs first and says whether the operation's result is right; a benchmark of a wrong
/// result is an error.
void register_row(const std::string& name, Traffic traffic, std::function<bool()> check,
                  std::function<void()> run);

}  // namespace cuqat::bench
