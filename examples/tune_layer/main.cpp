// Quantizes a linear layer, and trains its weights and scales to give what the f32 layer gives.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tuning.hpp"

namespace {

constexpr const char* kUsage = R"(Usage: tune_layer [options]
  --weight FILE:TENSOR  F32 or BF16, [out, in]
  --bias FILE:TENSOR    [out]; "none" for a layer without one
  --input FILE:TENSOR   [tokens, in]
                        (these three: a layer of all-MiniLM-L6-v2, from cuqat's folder data)
  --format NAME         int4, int8 or E4M3 (all three)
  --train N             tokens to train on, the first ones; the others are held out (500)
  --steps N             of the optimizer, in each format (600)
  --threads N           (2)
)";

struct NamedTuning {
  const char* weight;
  const char* input;
  Tuning tuning;
};

/// Formats of 8 bits have little to gain, and overfit sooner.
constexpr double kRateOf8Bits = 1e-3;
const std::array<NamedTuning, 3> kTunings = {
    NamedTuning{"int4", "int8", {}},
    NamedTuning{"int8", "int8", {.weight = cuqat::Format::kInt8, .weight_rate = kRateOf8Bits}},
    NamedTuning{"E4M3",
                "E4M3",
                {.weight = cuqat::Format::kE4M3,
                 .input = cuqat::Format::kE4M3,
                 .weight_rate = kRateOf8Bits}}};

struct Options {
  std::string weight =
      DATA_FOLDER "/minilm_weight.safetensors:encoder.layer.0.intermediate.dense.weight";
  std::string bias = DATA_FOLDER "/minilm_bias.safetensors:encoder.layer.0.intermediate.dense.bias";
  std::string input =
      DATA_FOLDER "/minilm_activations.safetensors:encoder.layer.0.intermediate.dense.input";
  std::string format;  // Empty: all.
  int train = 500;
  int steps = 600;
  int threads = 2;
};

int number(std::string_view option, std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) {
    throw std::invalid_argument(std::string(option) + " takes a whole number from 1, not \"" +
                                std::string(text) + "\"");
  }
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(std::string(option) + " takes a value");
    const std::string value = argv[i + 1];
    if (option == "--weight") {
      options.weight = value;
    } else if (option == "--bias") {
      options.bias = value == "none" ? "" : value;
    } else if (option == "--input") {
      options.input = value;
    } else if (option == "--format") {
      const auto has_name = [&](const NamedTuning& named) { return value == named.weight; };
      if (std::ranges::none_of(kTunings, has_name)) {
        throw std::invalid_argument("--format takes int4, int8 or E4M3, not \"" + value + "\"");
      }
      options.format = value;
    } else if (option == "--train") {
      options.train = number(option, value);
    } else if (option == "--steps") {
      options.steps = number(option, value);
    } else if (option == "--threads") {
      options.threads = number(option, value);
    } else {
      throw std::invalid_argument("there is no option " + std::string(option));
    }
  }
  return options;
}

/// A line on a terminal that says how far the work is.
void show_progress(const char* format, int step, int steps) {
  if (isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r\033[K%s: step %d of %d", format, step, steps);
  if (step == steps) std::fprintf(stderr, "\r\033[K");
}

void run(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const cuqat::HostOptions host{.num_threads = options.threads};
  const LinearLayer layer =
      load_layer(options.weight, options.bias, options.input, options.train, host);
  std::printf("%s\n%lld inputs, %lld outputs, %lld tokens to train on, %lld held out\n",
              options.weight.substr(options.weight.rfind(':') + 1).c_str(),
              static_cast<long long>(layer.weight.columns),
              static_cast<long long>(layer.weight.rows),
              static_cast<long long>(layer.train.input.rows),
              static_cast<long long>(layer.held_out.input.rows));
  std::printf("%-7s %-6s %-15s %9s %9s %13s\n", "weight", "input", "calibration", "before", "after",
              "after/before");
  std::fflush(stdout);
  for (NamedTuning named : kTunings) {
    if (!options.format.empty() && options.format != named.weight) continue;
    named.tuning.steps = options.steps;
    const Tuned tuned = tune(layer, named.tuning, host,
                             [&](int step) { show_progress(named.weight, step, options.steps); });
    std::printf("%-7s %-6s %-15s %8.4f%% %8.4f%% %13.3f\n", named.weight, named.input,
                tuned.calibration.c_str(), 100.0 * tuned.before, 100.0 * tuned.after,
                tuned.after / tuned.before);
    std::fflush(stdout);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  std::fprintf(stderr, "%.1f s, %d threads\n", taken.count(), options.threads);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  try {
    run(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "tune_layer: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tune_layer: %s\n", error.what());
    return 1;
  }
}
