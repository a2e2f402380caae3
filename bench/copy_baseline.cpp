#include "copy_baseline.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace cuqat::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Copies the smaller of the two amounts and reads, or writes, what is left.
class Baseline {
 public:
  explicit Baseline(Traffic traffic)
      : copied_(std::min(traffic.read, traffic.written)),
        read_(traffic.read - copied_),
        written_(traffic.written - copied_),
        from_(std::max(traffic.read, std::size_t{64}), 1),
        to_(std::max(traffic.written, std::size_t{64}), 2) {}

  double seconds() {
    const auto start = Clock::now();
    const int threads = num_threads();
    std::uint64_t sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    {
      const auto i = static_cast<std::size_t>(omp_get_thread_num());
      const auto part = [&](std::size_t bytes) {
        return bytes / static_cast<std::size_t>(threads);
      };
      std::memcpy(to_.data() + i * part(copied_), from_.data() + i * part(copied_), part(copied_));
      sum += read_sum(from_.data() + copied_ + i * part(read_), part(read_));
      std::memset(to_.data() + copied_ + i * part(written_), 3, part(written_));
    }
    benchmark::DoNotOptimize(sum);
    benchmark::ClobberMemory();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

 private:
  static std::uint64_t read_sum(const unsigned char* data, std::size_t bytes) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, data + i, sizeof(word));
      sum += word;
    }
    return sum;
  }

  std::size_t copied_;
  std::size_t read_;
  std::size_t written_;
  std::vector<unsigned char> from_;
  std::vector<unsigned char> to_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void run_row(benchmark::State& state, Traffic traffic, const std::function<bool()>& check,
             const std::function<void()>& run) {
  if (!check()) {
    state.SkipWithError("the result is wrong");
    return;
  }
  Baseline baseline(traffic);
  baseline.seconds();
  run();
  std::vector<double> ratios;
  double before = baseline.seconds();
  for (auto _ : state) {
    const auto start = Clock::now();
    run();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(seconds);
    const double after = baseline.seconds();
    ratios.push_back(seconds / ((before + after) / 2));
    before = after;
  }
  const auto bytes = static_cast<std::int64_t>(traffic.read + traffic.written);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * bytes);
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["copy_ratio"] = median(std::move(ratios));
}

}  // namespace

int num_threads() { return static_cast<int>(from_environment("CUQAT_BENCH_THREADS", 2)); }

std::int64_t element_count() {
  return from_environment("CUQAT_BENCH_COUNT", std::int64_t{1} << 25);
}

void register_row(const std::string& name, Traffic traffic, std::function<bool()> check,
                  std::function<void()> run) {
  benchmark::RegisterBenchmark(
      name.c_str(), [traffic, check = std::move(check), run = std::move(run)](
                        benchmark::State& state) { run_row(state, traffic, check, run); })
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace cuqat::bench
