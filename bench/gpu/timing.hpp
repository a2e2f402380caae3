// What is timed on a device, and how its times are summed up.
#pragma once

#include <benchmark/benchmark.h>
#include <cuda_runtime.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "device_buffer.hpp"
#include "measure.hpp"

namespace cuqat::bench {

inline constexpr int kSamples = 30;  // at least, of those that are kept
inline constexpr int kTurns = 40;    // of one round
inline constexpr int kMostRounds = 4;

/// Percent by which what is timed around a turn may differ: CUQAT_BENCH_DRIFT, or 3.
double most_drift();

/// Too far apart for the turn between them to count.
bool have_drifted(double before, double after);

using Enqueue = std::function<void(int call, cudaStream_t stream)>;

class Event {
 public:
  Event() { require(cudaEventCreate(&event_)); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Stream& stream) { require(cudaEventRecord(event_, stream.get())); }
  [[nodiscard]] double microseconds_since(const Event& begin) const {
    float milliseconds = 0.0f;
    require(cudaEventElapsedTime(&milliseconds, begin.event_, event_));
    return double{milliseconds} * 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Calls in a row as one graph, so that the host's part of launching is not measured.
class Graph {
 public:
  Graph(const Enqueue& enqueue, int num_calls, const Stream& stream);
  ~Graph() { static_cast<void>(cudaGraphExecDestroy(executable_)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(const Stream& stream) const { require(cudaGraphLaunch(executable_, stream.get())); }
  [[nodiscard]] int num_calls() const { return num_calls_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
  int num_calls_;
};

/// Something that is timed: a copy, a read, a product, or the row's call. Its calls go round the
/// sets.
class Contender {
 public:
  Contender(const Enqueue& enqueue, int num_sets, const Stream& stream);
  /// Without being timed.
  void launch(const Stream& stream) const { graph_.launch(stream); }
  void run(const Stream& stream, int turn);
  /// Microseconds of a call.
  [[nodiscard]] double time(int turn) const;

 private:
  Graph graph_;
  std::array<Event, kTurns + 1> begin_;
  std::array<Event, kTurns + 1> end_;
};

/// Median and interquartile range.
struct Spread {
  explicit Spread(std::vector<double> values);
  double median = 0.0;
  double range = 0.0;
};

/// Microseconds that putting one call on the stream takes the host, while the stream is idle.
std::vector<double> host_times(const Operation& operation, int num_sets, const Stream& stream);

/// @throws NotMeasured where too few turns are left.
void require_samples(std::size_t kept, int dropped);

/// Counters "name" and "name_iqr".
void report_spread(benchmark::State& state, const std::string& name, const Spread& values);

/// Registers body as a row that reports its own time; exceptions become its error.
void register_timed(const std::string& name, std::function<void(benchmark::State&)> body);

}  // namespace cuqat::bench
