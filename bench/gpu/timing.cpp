#include "timing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>

namespace cuqat::bench {
namespace {

constexpr double kLeastMicroseconds = 200.0;  // of what is between two events

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

}  // namespace

double most_drift() {
  const char* const text = std::getenv("CUQAT_BENCH_DRIFT");
  return text == nullptr ? 3.0 : std::atof(text);
}

bool have_drifted(double before, double after) {
  return std::abs(after - before) > most_drift() / 100 * std::min(before, after);
}

Graph::Graph(const Enqueue& enqueue, int num_calls, const Stream& stream) : num_calls_(num_calls) {
  cudaGraph_t graph = nullptr;
  require(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal));
  for (int call = 0; call < num_calls; ++call) enqueue(call, stream.get());
  require(cudaStreamEndCapture(stream.get(), &graph));
  require(cudaGraphInstantiate(&executable_, graph, 0));
  require(cudaGraphDestroy(graph));
}

Contender::Contender(const Enqueue& enqueue, int num_sets, const Stream& stream)
    : graph_(enqueue, calls_worth_timing(enqueue, num_sets, stream), stream) {
  for (int i = 0; i < 3; ++i) graph_.launch(stream);
  stream.wait();
}

void Contender::run(const Stream& stream, int turn) {
  begin_[static_cast<std::size_t>(turn)].record(stream);
  graph_.launch(stream);
  end_[static_cast<std::size_t>(turn)].record(stream);
}

double Contender::time(int turn) const {
  const auto i = static_cast<std::size_t>(turn);
  return end_[i].microseconds_since(begin_[i]) / graph_.num_calls();
}

Spread::Spread(std::vector<double> values) {
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

std::vector<double> host_times(const Operation& operation, int num_sets, const Stream& stream) {
  std::vector<double> times;
  for (int i = 0; i < kSamples; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    operation.run(i % num_sets, stream.get());
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    times.push_back(time.count());
    stream.wait();
  }
  return times;
}

void require_samples(std::size_t kept, int dropped) {
  if (kept >= kSamples) return;
  throw NotMeasured("NOT MEASURED: " + std::to_string(dropped) +
                    " turns dropped, as what is timed around them differs by more than " +
                    std::to_string(most_drift()) + " %");
}

void report_spread(benchmark::State& state, const std::string& name, const Spread& values) {
  state.counters[name] = values.median;
  state.counters[name + "_iqr"] = values.range;
}

void register_timed(const std::string& name, std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [body = std::move(body)](benchmark::State& state) {
                                 try {
                                   body(state);
                                 } catch (const std::exception& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace cuqat::bench
