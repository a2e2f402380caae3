#include "contest.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>

#include "timing.hpp"

namespace cuqat::bench {
namespace {

struct Times {
  std::vector<double> call;                    ///< Microseconds.
  std::vector<std::vector<double>> of_rivals;  ///< Percent of the speed of each.
  int dropped = 0;
};

Enqueue calls_of(const Operation& operation) {
  return [&operation](int, cudaStream_t stream) { operation.run(0, stream); };
}

Times take_times(const Operation& operation, const std::vector<std::unique_ptr<Operation>>& rivals,
                 const Stream& stream) {
  Contender call(calls_of(operation), 1, stream);
  std::vector<std::unique_ptr<Contender>> others;
  for (const auto& rival : rivals) {
    others.push_back(std::make_unique<Contender>(calls_of(*rival), 1, stream));
  }
  Times times;
  times.of_rivals.resize(rivals.size());
  for (int round = 0; round < kMostRounds; ++round) {
    for (int turn = 0; turn < kTurns; ++turn) {
      others[0]->run(stream, turn);
      call.run(stream, turn);
      for (std::size_t i = 1; i < others.size(); ++i) others[i]->run(stream, turn);
    }
    others[0]->run(stream, kTurns);
    stream.wait();
    for (int turn = 0; turn < kTurns; ++turn) {
      const double before = others[0]->time(turn);
      const double after = others[0]->time(turn + 1);
      if (have_drifted(before, after)) {
        ++times.dropped;
        continue;
      }
      const double time = call.time(turn);
      times.call.push_back(time);
      times.of_rivals[0].push_back(50.0 * (before + after) / time);
      for (std::size_t i = 1; i < others.size(); ++i) {
        times.of_rivals[i].push_back(100.0 * others[i]->time(turn) / time);
      }
    }
    if (times.call.size() >= kSamples) break;
  }
  return times;
}

void report(benchmark::State& state, const Contest& contest, const Times& times,
            const std::vector<double>& host) {
  const Spread call(times.call);
  const auto& [m, n, k] = contest.shape;
  const double operations = 2.0 * static_cast<double>(m) * static_cast<double>(n) *
                            static_cast<double>(k) * contest.num_products;
  for (auto _ : state) state.SetIterationTime(call.median * 1e-6);
  report_spread(state, "microseconds", call);
  report_spread(state, "host_microseconds", Spread(host));
  for (std::size_t i = 0; i < contest.rivals.size(); ++i) {
    report_spread(state, "percent_of_" + contest.rivals[i].name, Spread(times.of_rivals[i]));
  }
  state.counters["teraflops"] = operations / call.median * 1e-6;
  state.counters["elements"] = static_cast<double>(m * n);
  state.counters["bytes_read"] = static_cast<double>(contest.traffic.read);
  state.counters["bytes_written"] = static_cast<double>(contest.traffic.written);
  state.counters["samples"] = static_cast<double>(times.call.size());
  state.counters["dropped"] = times.dropped;
  state.counters["most_drift_percent"] = most_drift();
  state.counters["buffers"] = 1;
}

/// Empty, or which result is wrong.
std::string difference(const Operation& operation, const Contest& contest,
                       const std::vector<std::unique_ptr<Operation>>& rivals) {
  std::string wrong = operation.difference(0);
  for (std::size_t i = 0; i < rivals.size() && wrong.empty(); ++i) {
    wrong = rivals[i]->difference(0);
    if (!wrong.empty()) wrong += " of " + contest.rivals[i].name;
  }
  return wrong;
}

void run_contest(benchmark::State& state, const Contest& contest) {
  const std::unique_ptr<Operation> operation = contest.make();
  std::vector<std::unique_ptr<Operation>> rivals;
  for (const Rival& rival : contest.rivals) rivals.push_back(rival.make());
  require(cudaDeviceSynchronize());  // what fills buffers need not have ended
  const Stream stream;
  // First products of a context allocate, and those of a shape try the ways to make them.
  operation->run(0, stream.get());
  for (const auto& rival : rivals) rival->run(0, stream.get());
  stream.wait();
  std::string wrong = difference(*operation, contest, rivals);
  if (wrong.empty()) {
    operation->forget(0);
    for (const auto& rival : rivals) rival->forget(0);
    require(cudaDeviceSynchronize());
    const Times times = take_times(*operation, rivals, stream);
    wrong = difference(*operation, contest, rivals);
    const std::vector<double> host = host_times(*operation, 1, stream);
    require_samples(times.call.size(), times.dropped);
    if (wrong.empty()) return report(state, contest, times, host);
  }
  state.SkipWithError(("the result is wrong: " + wrong).c_str());
}

}  // namespace

void register_contest(const Contest& contest) {
  const auto& [m, n, k] = contest.shape;
  const std::string shape = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  register_timed(contest.name + " " + shape + " cold",
                 [contest](benchmark::State& state) { run_contest(state, contest); });
}

GemmShape sample_of(GemmShape shape) {
  // 2^39 products of numbers for 2^28 elements, fewer by the square for fewer.
  const auto count = static_cast<double>(element_count());
  const double most = count * count / (1 << 17);
  const auto products = [&] {
    return static_cast<double>(shape.m) * static_cast<double>(shape.n) *
           static_cast<double>(shape.k);
  };
  while (products() > most && std::min({shape.m, shape.n, shape.k}) > 16) {
    shape = {shape.m / 2, shape.n / 2, shape.k / 2};
  }
  return shape;
}

}  // namespace cuqat::bench
