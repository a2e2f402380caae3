// Trains a classifier of handwritten digits in f32, quantizes it, and trains it through
// quantization: what does each format cost?
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cuqat/tensor_file.hpp"
#include "experiment.hpp"
#include "plot.hpp"

namespace {

constexpr const char* kUsage = R"(Usage: train_digits [options]
  --backend NAME   what trains: cpu or cuda, the current GPU (cpu)
  --seeds N        networks of each kind (5)
  --first-seed N   the first one's seed (0)
  --epochs N       in f32 (100)
  --qat-epochs N   through quantization, after those (25)
  --split N        the seed that chooses the 450 test images (0)
  --data FILE      images and labels (digits.safetensors beside the source)
  --threads N      networks trained side by side by cpu (2); changes no result
  --plot FILE.svg  loss and accuracy over the epochs
  --save FILE      the first int8 network trained through quantization, as safetensors
)";

struct Options {
  Experiment experiment;
  bool on_device = false;
  std::uint64_t split = 0;
  std::string data = DIGITS_FILE;
  std::string plot;
  std::string save;
};

template <typename T>
T number(std::string_view option, std::string_view text, T least) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least) {
    throw std::invalid_argument(std::string(option) + " takes a whole number from " +
                                std::to_string(least) + ", not \"" + std::string(text) + "\"");
  }
  return value;
}

bool is_cuda(std::string_view backend) {
  if (backend != "cpu" && backend != "cuda") {
    throw std::invalid_argument("--backend takes cpu or cuda, not \"" + std::string(backend) +
                                "\"");
  }
  return backend == "cuda";
}

Options parse(int argc, char** argv) {
  Options options;
  Experiment& experiment = options.experiment;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(std::string(option) + " takes a value");
    const char* const value = argv[i + 1];
    if (option == "--backend") {
      options.on_device = is_cuda(value);
    } else if (option == "--seeds") {
      experiment.seeds = number(option, value, 1);
    } else if (option == "--first-seed") {
      experiment.first_seed = number(option, value, std::uint64_t{0});
    } else if (option == "--epochs") {
      experiment.epochs = number(option, value, 1);
    } else if (option == "--qat-epochs") {
      experiment.qat_epochs = number(option, value, 1);
    } else if (option == "--split") {
      options.split = number(option, value, std::uint64_t{0});
    } else if (option == "--threads") {
      experiment.threads = number(option, value, 1);
    } else if (option == "--data") {
      options.data = value;
    } else if (option == "--plot") {
      options.plot = value;
    } else if (option == "--save") {
      options.save = value;
    } else {
      throw std::invalid_argument("there is no option " + std::string(option));
    }
  }
  return options;
}

const char* text(How how) {
  switch (how) {
    case How::kTrained:
      return "no";
    case How::kQuantizedAfter:
      return "after training";
    case How::kTrainedThroughQuantization:
      return "while training";
  }
  return "";
}

/// A line for each format: the mean over the seeds, and the range.
void print_table(const std::vector<Run>& runs, int seeds) {
  std::printf("%-8s %-15s %9s  %15s %8s %7s\n", "format", "quantized", "accuracy", "range",
              "to f32", "bytes");
  double of_f32 = 0.0;
  for (std::size_t first = 0; first < runs.size(); first += static_cast<std::size_t>(seeds)) {
    double sum = 0.0;
    double low = 1.0;
    double high = 0.0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(seeds); ++i) {
      sum += runs[i].accuracy;
      low = std::min(low, runs[i].accuracy);
      high = std::max(high, runs[i].accuracy);
    }
    const double mean = 100.0 * sum / seeds;
    if (first == 0) of_f32 = mean;
    std::printf("%-8s %-15s %8.2f%%  %6.2f%%-%6.2f%% %+8.2f %7lld\n", runs[first].format,
                text(runs[first].how), mean, 100.0 * low, 100.0 * high, mean - of_f32,
                static_cast<long long>(runs[first].bytes));
  }
}

int run_program(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const Digits digits = load_digits(options.data, options.split);
  const Results results = options.on_device ? run_on_device(options.experiment, digits)
                                            : run(options.experiment, digits);
  print_table(results.runs, options.experiment.seeds);
  if (!options.save.empty()) {
    cuqat::save_layers(options.save, results.int8_layers);
    const double again = accuracy(cuqat::load_layers(options.save), digits.test);
    std::printf("%s: int8, accuracy when loaded %.2f%%\n", options.save.c_str(), 100.0 * again);
  }
  if (!options.plot.empty()) write_plot(options.plot, results.runs);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  if (options.on_device) {
    std::fprintf(stderr, "%.1f s, on the GPU\n", taken.count());
  } else {
    std::fprintf(stderr, "%.1f s, %d threads\n", taken.count(), options.experiment.threads);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  try {
    return run_program(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "train_digits: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_digits: %s\n", error.what());
    return 1;
  }
}
