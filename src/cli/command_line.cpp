#include "cli/command_line.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cuqat/version.hpp"
#include "io/error.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

constexpr int kMaxThreads = 1024;

using Words = std::vector<std::string>;

/// The words of `calibrate` that take more than a look to understand.
struct CalibrateWords {
  std::string method = "all";
  Words percentiles;
  std::string dialect = "modelopt";
  std::string format = "int8";
  std::string rounding = "nearest-even";
  std::string granularity;
  std::string min_sqnr;
  Words exports;
  bool symmetric = false;
  bool affine = false;
  CalibrateSettings settings;
};

[[noreturn]] void refuse(std::string_view option, std::string_view value, std::string_view limit) {
  throw UsageError(fmt::format("{}: {} is not {}", option, io::in_quotes(value), limit));
}

std::vector<CalibMethod> parse_methods(const std::string& text) {
  if (text == "all") {
    return {CalibMethod::kMinMax, CalibMethod::kPercentile, CalibMethod::kEntropy,
            CalibMethod::kMse, CalibMethod::kSqnr};
  }
  std::vector<CalibMethod> methods;
  for (const std::string& word : CLI::detail::split(text, ',')) {
    const auto method = io::parse_method(word);
    if (!method) refuse("--method", word, "all, minmax, percentile, entropy, mse or sqnr");
    if (std::ranges::find(methods, *method) == methods.end()) methods.push_back(*method);
  }
  return methods;
}

std::vector<double> parse_percentiles(const Words& words) {
  if (words.empty()) return {CalibrationOptions{}.percentile};
  std::vector<double> percentiles;
  for (const std::string& word : words) {
    const auto number = io::parse_number(word);
    if (!number || *number < 0.0 || *number > 100.0) {
      refuse("--percentile", word, "a number in [0, 100]");
    }
    if (std::ranges::find(percentiles, *number) == percentiles.end()) {
      percentiles.push_back(*number);
    }
  }
  return percentiles;
}

CalibrationOptions common_options(const CalibrateWords& words) {
  CalibrationOptions options;
  // CLI11 has let only known words pass.
  options.format = *io::parse_format(words.format);
  options.rounding = *io::parse_rounding(words.rounding);
  options.dialect = *io::parse_dialect(words.dialect);
  options.symmetric = !words.affine;
  if (!is_integer(options.format)) {
    if (words.affine) {
      throw UsageError("--affine: " + words.format + " has no zero point; only int8 and int4 do");
    }
    if (options.rounding == Rounding::kOriginal) {
      throw UsageError("--rounding: original is defined for int8 and int4, not for " +
                       words.format);
    }
  }
  return options;
}

void resolve_methods(const CalibrateWords& words, CalibrateSettings& settings) {
  CalibrationOptions options = common_options(words);
  const std::vector<double> percentiles = parse_percentiles(words.percentiles);
  for (const CalibMethod method : parse_methods(words.method)) {
    options.method = method;
    const std::size_t repeats = method == CalibMethod::kPercentile ? percentiles.size() : 1;
    for (std::size_t i = 0; i < repeats; ++i) {
      options.percentile = percentiles[i];
      settings.methods.push_back(options);
    }
  }
}

void check_outputs(const CalibrateWords& words) {
  const CalibrateSettings& settings = words.settings;
  if (!words.exports.empty()) throw UsageError("--export: not available in this version");
  using Named = std::pair<std::string_view, const std::optional<std::string>*>;
  const Named outputs[] = {{"--json", &settings.json_path},
                           {"--state", &settings.state_path},
                           {"--html", &settings.html_path}};
  for (const Named& output : outputs) {
    if (!*output.second) continue;
    for (const Named& other : outputs) {
      if (other.first == output.first) break;
      if (*other.second && are_one_output(**other.second, **output.second)) {
        throw UsageError(fmt::format("{} and {}: both name {}", other.first, output.first,
                                     io::in_quotes(**output.second)));
      }
    }
    for (const auto* inputs : {&settings.input.files, &settings.states}) {
      refuse_overwriting(output.first, **output.second, *inputs);
    }
  }
}

void check_inputs(const CalibrateSettings& settings) {
  const bool has_files = !settings.input.files.empty();
  if (has_files == !settings.states.empty()) {
    throw UsageError(has_files ? "--from-state: answers without the data; give no FILE"
                               : "calibrate: FILE or --from-state is required");
  }
  if (settings.state_path && settings.granularity &&
      settings.granularity->kind == Granularity::Kind::kGroup) {
    throw UsageError("--state: saved statistics know tensors and channels, not " +
                     io::to_text(*settings.granularity));
  }
}

void check_standard_input(const InputSettings& input) {
  if (std::ranges::count(input.files, "-") > 1) {
    throw UsageError("FILE: standard input (-) can be read only once");
  }
}

void resolve(CalibrateWords& words) {
  CalibrateSettings& settings = words.settings;
  resolve_methods(words, settings);
  if (!words.granularity.empty()) {
    settings.granularity = io::parse_granularity(words.granularity);
    if (!settings.granularity) {
      refuse("--granularity", words.granularity, "tensor, channel:AXIS or group:N with N above 0");
    }
  }
  if (!words.min_sqnr.empty()) {
    settings.min_sqnr_db = io::parse_number(words.min_sqnr);
    if (!settings.min_sqnr_db) refuse("--min-sqnr", words.min_sqnr, "a finite number");
  }
  check_outputs(words);
  check_inputs(settings);
  check_standard_input(settings.input);
}

ExitCode run_calibrate(CalibrateWords& words, const Ranks& ranks) {
  // Together: what a name leads to may differ from machine to machine.
  ranks.together([&] { resolve(words); });
  return calibrate_files(words.settings, ranks);
}

void add_host_options(CLI::App& app, HostSettings& host, const Words& more_backends = {}) {
  Words backends{"auto", "reference", "cpu"};
  backends.insert(backends.end(), more_backends.begin(), more_backends.end());
  app.add_option("--backend", host.backend, "What computes; results are the same")
      ->check(CLI::IsMember(backends))
      ->capture_default_str();
  app.add_option("--threads", host.num_threads, "Threads (default: as many as the machine has)")
      ->check(CLI::Range(1, kMaxThreads));
}

void add_input_options(CLI::App& app, InputSettings& input) {
  app.add_option_function<std::string>(
         "--match", [&](const std::string& text) { input.match = text; },
         "Only tensors whose name this regular expression finds")
      ->type_name("REGEX");
  app.add_option_function<std::string>(
         "--npy-dtype", [&](const std::string&) { input.untyped_npy_dtype = DType::kBF16; },
         "Element type of .npy files that do not name theirs (bf16)")
      ->check(CLI::IsMember(Words{"bf16"}));
}

template <typename T>
void add_path(CLI::App& app, const std::string& name, T& path, const std::string& description) {
  app.add_option(name, path, description)->type_name("PATH");
}

void add_calibrate_methods(CLI::App& app, CalibrateWords& words) {
  app.add_option("--method", words.method,
                 "minmax, percentile, entropy, mse, sqnr, separated by commas; or all")
      ->capture_default_str();
  app.add_option("--percentile", words.percentiles, "In [0, 100]; may be repeated [99.99]")
      ->type_name("P")
      ->allow_extra_args(false);
  app.add_option("--dialect", words.dialect, "Whose rule of entropy")
      ->check(CLI::IsMember(Words{"modelopt", "onnxruntime", "original"}))
      ->capture_default_str();
  app.add_option("--format", words.format, "Format to quantize to")
      ->check(CLI::IsMember(Words{"int8", "int4", "e4m3", "e5m2"}))
      ->capture_default_str();
  CLI::Option* symmetric = app.add_flag("--symmetric", words.symmetric, "Zero point 0 (default)");
  app.add_flag("--affine", words.affine, "A zero point; integer formats only")->excludes(symmetric);
  app.add_option("--granularity", words.granularity, "tensor, channel:AXIS or group:N [tensor]");
  app.add_option("--rounding", words.rounding, "How integers are rounded")
      ->check(CLI::IsMember(Words{"nearest-even", "original"}))
      ->capture_default_str();
}

/// A command that several processes would do several times.
template <typename Run>
Command alone(const Run& run) {
  return [run](const Ranks& ranks) {
    if (ranks.size() > 1) {
      throw UsageError(
          fmt::format("only calibrate runs in several processes; these are {}", ranks.size()));
    }
    return run();
  };
}

void add_calibrate(CLI::App& parent, Command& command) {
  CLI::App& app = *parent.add_subcommand("calibrate", "Scales and zero points, by every method");
  const auto words = std::make_shared<CalibrateWords>();
  CalibrateSettings& settings = words->settings;
  app.add_option("FILE", settings.input.files,
                 ".safetensors or .npy; - is standard input. A name in several is one tensor");
  app.add_option("--from-state", settings.states, "Saved statistics, instead of FILE")
      ->type_name("STATE");
  add_calibrate_methods(app, *words);
  add_input_options(app, settings.input);
  add_host_options(app, settings.host, {"cuda"});
  add_path(app, "--json", settings.json_path, "Write the results as JSON; - is standard output");
  add_path(app, "--state", settings.state_path, "Save the statistics, to merge and answer later");
  add_path(app, "--html", settings.html_path, "Write a page with a histogram of each tensor");
  app.add_option("--export", words->exports, "Not available in this version")
      ->type_name("KIND:OUT")
      ->allow_extra_args(false);
  app.add_option("--min-sqnr", words->min_sqnr, "Exit with 5 where a result is below")
      ->type_name("DB");
  app.add_flag("--quiet", settings.quiet, "No table and no progress bar");
  app.callback([&command, words] {
    command = [words](const Ranks& ranks) { return run_calibrate(*words, ranks); };
  });
}

void add_merge(CLI::App& parent, Command& command) {
  CLI::App& app = *parent.add_subcommand("merge", "Adds saved statistics");
  const auto settings = std::make_shared<MergeSettings>();
  app.add_option("STATE", settings->states, "Files of calibrate --state")->required();
  add_path(app, "--state", settings->output_path, "Where the sum goes");
  app.get_option("--state")->required();
  app.callback([&command, settings] {
    command = alone([settings] {
      refuse_overwriting("--state", settings->output_path, settings->states);
      return merge_states(*settings);
    });
  });
}

void add_quantize(CLI::App& parent, Command& command) {
  CLI::App& app = *parent.add_subcommand("quantize", "Codes, scales and zero points");
  const auto settings = std::make_shared<QuantizeSettings>();
  app.add_option("FILE", settings->input.files, ".safetensors or .npy")->required()->expected(1);
  app.add_option("--params", settings->params_path, "JSON of calibrate")
      ->type_name("JSON")
      ->required();
  app.add_option_function<std::string>(
      "--method", [=](const std::string& text) { settings->method = text; },
      "Which result of the JSON, if it has several: mse, percentile:99.9");
  add_input_options(app, settings->input);
  app.remove_option(app.get_option("--match"));
  add_host_options(app, settings->host);
  add_path(app, "--out", settings->output_path, "A .safetensors file");
  app.get_option("--out")->required();
  app.callback([&command, settings] {
    command = alone([settings] {
      refuse_overwriting("--out", settings->output_path, settings->input.files);
      refuse_overwriting("--out", settings->output_path, {settings->params_path});
      return quantize_file(*settings);
    });
  });
}

void add_dequantize(CLI::App& parent, Command& command) {
  CLI::App& app = *parent.add_subcommand("dequantize", "From a file of quantize back to values");
  const auto settings = std::make_shared<DequantizeSettings>();
  app.add_option("FILE", settings->path, "A file of quantize")->required();
  add_host_options(app, settings->host);
  add_path(app, "--out", settings->output_path, "A .safetensors file");
  app.get_option("--out")->required();
  app.callback([&command, settings] {
    command = alone([settings] {
      refuse_overwriting("--out", settings->output_path, {settings->path});
      return dequantize_file(*settings);
    });
  });
}

void add_inspect(CLI::App& parent, Command& command) {
  CLI::App& app = *parent.add_subcommand("inspect", "What is in the files, one row a tensor");
  const auto settings = std::make_shared<InspectSettings>();
  app.add_option("FILE", settings->input.files, ".safetensors or .npy; - is standard input")
      ->required();
  add_input_options(app, settings->input);
  add_host_options(app, settings->host);
  app.callback([&command, settings] {
    command = alone([settings] {
      check_standard_input(settings->input);
      return inspect_files(*settings);
    });
  });
}

// CLI11 would say no more than that a subcommand is required.
void check_command(const CLI::App& app, int argc, const char* const* argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word.empty() || word.front() == '-') return;
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return;
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  throw UsageError(io::in_quotes(word) + " is no command; there are " + names);
}

}  // namespace

Command parse_command_line(int argc, const char* const* argv) {
  CLI::App app("Calibrates and quantizes tensors to int8, int4, E4M3 and E5M2.", "cuqat");
  app.set_version_flag("--version", "cuqat " CUQAT_VERSION_STRING);
  app.require_subcommand(1);
  Command command;
  add_calibrate(app, command);
  add_merge(app, command);
  add_quantize(app, command);
  add_dequantize(app, command);
  add_inspect(app, command);
  app.add_subcommand("info", "Version and backends")->callback([&] {
    command = alone(print_info);
  });
  check_command(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    // The help of the command that was named, if one was.
    const auto named = app.get_subcommands();
    const CLI::App& asked = named.empty() ? app : *named.front();
    return alone([text = asked.help(named.empty() ? "" : "cuqat")] {
      print(text);
      return kExitDone;
    });
  } catch (const CLI::CallForVersion& version) {
    return alone([text = std::string(version.what())] {
      print(text + "\n");
      return kExitDone;
    });
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  return command;
}

}  // namespace cuqat::cli
