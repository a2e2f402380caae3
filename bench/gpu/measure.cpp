#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "baseline.hpp"
#include "device_buffer.hpp"
#include "matrix.hpp"
#include "timing.hpp"

namespace cuqat::bench {
namespace {

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
      if (have_drifted(before, after)) {
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
  report_spread(state, "microseconds", call);
  report_spread(state, "percent_of_copy", Spread(samples.of_copy));
  report_spread(state, "percent_of_kernel_copy", Spread(samples.of_kernel_copy));
  report_spread(state, "percent_of_read", Spread(samples.of_read));
  report_spread(state, "host_microseconds", Spread(samples.host));
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
    samples.host = host_times(*operation, num_sets, stream);
    require_samples(samples.call.size(), samples.dropped);
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
    register_timed(row.name + (warm ? " warm" : " cold"),
                   [row, warm](benchmark::State& state) { run_row(state, row, warm); });
  }
}

}  // namespace cuqat::bench
