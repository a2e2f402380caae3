#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "baseline.hpp"
#include "device_buffer.hpp"
#include "matrix.hpp"

namespace cuqat::bench {
namespace {

constexpr int kSamples = 30;  // at least, of those that are kept
constexpr int kTurns = 40;    // of one round
constexpr int kMostRounds = 4;
constexpr double kLeastMicroseconds = 200.0;  // of what is between two events

/// Percent by which the copies around a turn may differ: CUQAT_BENCH_DRIFT, or 3.
double most_drift() {
  const char* const text = std::getenv("CUQAT_BENCH_DRIFT");
  return text == nullptr ? 3.0 : std::atof(text);
}

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
  Graph(const Enqueue& enqueue, int num_calls, const Stream& stream) : num_calls_(num_calls) {
    cudaGraph_t graph = nullptr;
    require(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal));
    for (int call = 0; call < num_calls; ++call) enqueue(call, stream.get());
    require(cudaStreamEndCapture(stream.get(), &graph));
    require(cudaGraphInstantiate(&executable_, graph, 0));
    require(cudaGraphDestroy(graph));
  }
  ~Graph() { static_cast<void>(cudaGraphExecDestroy(executable_)); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(const Stream& stream) const { require(cudaGraphLaunch(executable_, stream.get())); }
  [[nodiscard]] int num_calls() const { return num_calls_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
  int num_calls_;
};

/// As many calls, in whole rounds of the sets, as take kLeastMicroseconds.
int calls_worth_timing(const Enqueue& enqueue, int num_sets, const Stream& stream) {
  const Graph round(enqueue, num_sets, stream);
  Event begin;
  Event end;
  round.launch(stream);
  begin.record(stream);
  round.launch(stream);
  end.record(stream);
  stream.wait();
  const double rounds =
      std::ceil(kLeastMicroseconds / std::max(end.microseconds_since(begin), 1.0));
  return num_sets * static_cast<int>(rounds);
}

/// Something that is timed: a copy, a read, or the row's call.
class Contender {
 public:
  Contender(const Enqueue& enqueue, int num_sets, const Stream& stream)
      : graph_(enqueue, calls_worth_timing(enqueue, num_sets, stream), stream) {
    for (int i = 0; i < 3; ++i) graph_.launch(stream);
    stream.wait();
  }
  /// Without being timed.
  void launch(const Stream& stream) const { graph_.launch(stream); }
  void run(const Stream& stream, int turn) {
    begin_[static_cast<std::size_t>(turn)].record(stream);
    graph_.launch(stream);
    end_[static_cast<std::size_t>(turn)].record(stream);
  }
  /// Microseconds of a call.
  [[nodiscard]] double time(int turn) const {
    const auto i = static_cast<std::size_t>(turn);
    return end_[i].microseconds_since(begin_[i]) / graph_.num_calls();
  }
  [[nodiscard]] int num_calls() const { return graph_.num_calls(); }

 private:
  Graph graph_;
  std::array<Event, kTurns + 1> begin_;
  std::array<Event, kTurns + 1> end_;
};

/// Median and interquartile range.
struct Spread {
  explicit Spread(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const auto at = [&](double part) {
      const double place = part * static_cast<double>(values.size() - 1);
      const auto low = static_cast<std::size_t>(place);
      const std::size_t high = std::min(low + 1, values.size() - 1);
      return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
    };
    median = at(0.5);
    range = at(0.75) - at(0.25);
  }
  double median = 0.0;
  double range = 0.0;
};

struct Samples {
  std::vector<double> call;                              ///< Microseconds.
  std::vector<double> of_copy, of_kernel_copy, of_read;  ///< Percent of their speed.
  std::vector<double> host;                              ///< Microseconds of a call on a stream.
  int dropped = 0;
};

/// The copies and reads of a row's bytes.
class Baselines {
 public:
  Baselines(std::int64_t total_bytes, int num_sets)
      : half_((total_bytes / 2 + 15) / 16 * 16), memory_(2 * half_ * num_sets), sink_(16) {
    require(cudaMemset(memory_.as(), 0x11, static_cast<std::size_t>(memory_.size_bytes())));
  }
  [[nodiscard]] Enqueue copy(int num_sets) const {
    return [this, num_sets](int call, cudaStream_t stream) {
      std::byte* const from = set(call % num_sets);
      require(cudaMemcpyAsync(from + half_, from, static_cast<std::size_t>(half_),
                              cudaMemcpyDeviceToDevice, stream));
    };
  }
  [[nodiscard]] Enqueue kernel_copy(int num_sets) const {
    return [this, num_sets](int call, cudaStream_t stream) {
      std::byte* const from = set(call % num_sets);
      launch_copy(from + half_, from, half_, stream);
    };
  }
  [[nodiscard]] Enqueue read(int num_sets) const {
    return [this, num_sets](int call, cudaStream_t stream) {
      launch_read(set(call % num_sets), 2 * half_, sink_.as<unsigned>(), stream);
    };
  }

 private:
  [[nodiscard]] std::byte* set(int number) const { return memory_.as() + 2 * half_ * number; }

  std::int64_t half_;
  DeviceBuffer memory_;
  DeviceBuffer sink_;
};

Samples take_samples(const Operation& operation, const Baselines& baselines, int num_sets,
                     const Stream& stream) {
  Contender copy(baselines.copy(num_sets), num_sets, stream);
  Contender kernel_copy(baselines.kernel_copy(num_sets), num_sets, stream);
  Contender read(baselines.read(num_sets), num_sets, stream);
  Contender call([&](int i, cudaStream_t on) { operation.run(i % num_sets, on); }, num_sets,
                 stream);
  Samples samples;
  for (int round = 0; round < kMostRounds; ++round) {
    for (int turn = 0; turn < kTurns; ++turn) {
      read.launch(stream);
      copy.run(stream, turn);
      read.run(stream, turn);
      call.run(stream, turn);
      read.launch(stream);
      kernel_copy.run(stream, turn);
    }
    read.launch(stream);
    copy.run(stream, kTurns);
    stream.wait();
    for (int turn = 0; turn < kTurns; ++turn) {
      const double before = copy.time(turn);
      const double after = copy.time(turn + 1);
      if (std::abs(after - before) > most_drift() / 100 * std::min(before, after)) {
        ++samples.dropped;
        continue;
      }
      const double time = call.time(turn);
      samples.call.push_back(time);
      samples.of_copy.push_back(50.0 * (before + after) / time);
      samples.of_kernel_copy.push_back(100.0 * kernel_copy.time(turn) / time);
      samples.of_read.push_back(100.0 * read.time(turn) / time);
    }
    if (samples.call.size() >= kSamples) break;
  }
  return samples;
}

/// What putting one call on the stream takes the host, while the stream is idle.
void sample_host(const Operation& operation, int num_sets, const Stream& stream, Samples& samples) {
  for (int i = 0; i < kSamples; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    operation.run(i % num_sets, stream.get());
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    samples.host.push_back(time.count());
    stream.wait();
  }
}

std::int64_t l2_bytes() {
  int device = 0;
  int bytes = 0;
  require(cudaGetDevice(&device));
  require(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device));
  return bytes;
}

void report(benchmark::State& state, const Samples& samples, const Traffic& traffic,
            std::int64_t count, int num_sets) {
  const Spread call(samples.call);
  for (auto _ : state) state.SetIterationTime(call.median * 1e-6);
  const auto spread = [&](const char* name, const Spread& values) {
    state.counters[name] = values.median;
    state.counters[std::string(name) + "_iqr"] = values.range;
  };
  spread("microseconds", call);
  spread("percent_of_copy", Spread(samples.of_copy));
  spread("percent_of_kernel_copy", Spread(samples.of_kernel_copy));
  spread("percent_of_read", Spread(samples.of_read));
  spread("host_microseconds", Spread(samples.host));
  state.counters["elements"] = static_cast<double>(count);
  state.counters["bytes_read"] = static_cast<double>(traffic.read);
  state.counters["bytes_written"] = static_cast<double>(traffic.written);
  state.counters["samples"] = static_cast<double>(samples.call.size());
  state.counters["dropped"] = samples.dropped;
  state.counters["most_drift_percent"] = most_drift();
  state.counters["buffers"] = num_sets;
}

void run_row(benchmark::State& state, const Row& row, bool warm) {
  std::int64_t count = whole_rows(element_count());
  int num_sets = 1;
  if (warm) {
    const double per_element = static_cast<double>(row.traffic(1 << 20).total()) / (1 << 20);
    const double fitting = static_cast<double>(l2_bytes()) / 4 / per_element;
    count = whole_rows(std::min(count, static_cast<std::int64_t>(fitting)));
  } else {
    const std::int64_t wanted = 4 * l2_bytes();
    num_sets = static_cast<int>((wanted - 1) / row.traffic(count).total() + 1);
  }
  const Traffic traffic = row.traffic(count);
  const std::unique_ptr<Operation> operation = row.make(count, num_sets);
  const Baselines baselines(traffic.total(), num_sets);
  require(cudaDeviceSynchronize());  // what fills buffers need not have ended
  const Stream stream;
  operation->run(0, stream.get());
  stream.wait();
  std::string wrong = operation->difference(0);
  if (wrong.empty()) {
    for (int set = 0; set < num_sets; ++set) operation->forget(set);
    require(cudaDeviceSynchronize());
    Samples samples = take_samples(*operation, baselines, num_sets, stream);
    wrong = operation->difference(num_sets - 1);
    sample_host(*operation, num_sets, stream, samples);
    if (samples.call.size() < kSamples) {
      throw NotMeasured("NOT MEASURED: " + std::to_string(samples.dropped) +
                        " turns dropped, as the copies around them differ by more than " +
                        std::to_string(most_drift()) + " %");
    }
    if (wrong.empty()) return report(state, samples, traffic, count, num_sets);
  }
  state.SkipWithError(("the result is wrong: " + wrong).c_str());
}

}  // namespace

std::int64_t element_count() {
  const char* const text = std::getenv("CUQAT_BENCH_COUNT");
  return text == nullptr ? std::int64_t{1} << 28 : std::atoll(text);
}

void register_row(const Row& row) {
  for (const bool warm : {false, true}) {
    benchmark::RegisterBenchmark((row.name + (warm ? " warm" : " cold")).c_str(),
                                 [row, warm](benchmark::State& state) {
                                   try {
                                     run_row(state, row, warm);
                                   } catch (const std::exception& error) {
                                     state.SkipWithError(error.what());
                                   }
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace cuqat::bench
