// cuqat quantize
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/input.hpp"
#include "cli/output.hpp"
#include "cli/params_input.hpp"
#include "cli/quantized_file.hpp"
#include "io/error.hpp"
#include "io/names.hpp"
#include "io/safetensors_writer.hpp"

namespace cuqat::cli {
namespace {

/// A tensor to quantize.
struct Job {
  OriginalTensor original;
  const InputTensor* input = nullptr;
  const QuantParams* params = nullptr;
};

Job make_job(const TensorParams& tensor, const InputFiles& files, const ParamsFile& params,
             const QuantizeSettings& settings) {
  const std::string place = "tensor " + io::in_quotes(tensor.name) + ": ";
  const auto fail = [&](const std::string& problem) {
    throw io::FileError(files.file_names(), place + problem);
  };
  const std::string* method = settings.method ? &*settings.method : nullptr;
  const QuantParams& chosen = choose(tensor, method, params.display_name).params;
  const InputTensor* input = files.find(tensor.name);
  if (input == nullptr) fail("is not in it; " + params.display_name + " has parameters for it");
  if (input->dtype != to_string(tensor.dtype)) {
    fail(fmt::format("has dtype {}; it was calibrated as {}", input->dtype,
                     to_string(tensor.dtype)));
  }
  const Shape shape = input->views().front().shape();
  try {
    const auto needed = static_cast<std::size_t>(num_scales(chosen.granularity, shape));
    if (chosen.scale.size() != needed) {
      fail(fmt::format("{} has {} scales for it; its shape asks for {}", params.display_name,
                       chosen.scale.size(), needed));
    }
  } catch (const InvalidArgument& error) {
    fail(error.what());
  }
  return {{tensor.name, tensor.dtype, shape}, input, &chosen};
}

std::vector<std::byte> scale_bytes(const Job& job) {
  const std::vector<double>& scale = job.params->scale;
  std::vector<std::byte> bytes;
  const auto append = [&](const auto& value) {
    const auto raw = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  };
  for (const double value : scale) {
    if (job.original.dtype == DType::kF64) {
      append(value);
    } else {
      append(static_cast<float>(value));
    }
  }
  return bytes;
}

std::vector<std::uint8_t> codes_of(const Job& job, const InputFiles& files,
                                   const HostOptions& host) {
  const CodeLayout layout = io::code_layout(job.params->quantizer.format);
  std::vector<std::uint8_t> codes(codes_bytes(job.original.shape.count(), layout));
  try {
    quantize(job.input->views().front(), *job.params, codes, layout, host);
  } catch (const InvalidArgument& error) {
    throw io::FileError(
        files.file_names(),
        fmt::format("tensor {}: {}", io::in_quotes(job.original.name), error.what()));
  }
  files.release(*job.input);
  return codes;
}

/// The file begun. Parameters come first, so that they are aligned for readers that map it.
io::SafetensorsWriter open_writer(const std::vector<Job>& jobs, const CommonParams& common,
                                  const std::string& path) {
  std::vector<io::TensorInfo> infos;
  std::vector<OriginalTensor> originals;
  for (const Job& job : jobs) {
    originals.push_back(job.original);
    infos.push_back(scale_info(job.original, common.granularity));
    infos.push_back(zero_point_info(job.original, common.granularity));
  }
  for (const Job& job : jobs) infos.push_back(codes_info(job.original, common.quantizer.format));
  try {
    return opening(
        [&] { return io::SafetensorsWriter(path, infos, quantized_metadata(common, originals)); });
  } catch (const InvalidArgument& error) {
    // Names such as x beside x_scale meet in the output.
    throw io::FileError(path, error.what());
  }
}

}  // namespace

ExitCode quantize_file(const QuantizeSettings& settings) {
  const HostOptions host = host_options(settings.host);
  const ParamsFile params = read_params(settings.params_path);
  InputFiles files(settings.input);
  files.remove_unsupported();
  std::vector<Job> jobs;
  for (const TensorParams& tensor : params.tensors) {
    jobs.push_back(make_job(tensor, files, params, settings));
  }
  std::ranges::stable_sort(jobs, {}, [](const Job& job) { return job.original.name; });
  // Tensors of wider elements first, for the same reason.
  std::ranges::stable_partition(jobs,
                                [](const Job& job) { return job.original.dtype == DType::kF64; });
  io::SafetensorsWriter writer = open_writer(jobs, params.common, settings.output_path);
  for (const Job& job : jobs) {
    writing([&] {
      writer.append(scale_bytes(job));
      writer.append(std::as_bytes(std::span(job.params->zero_point)));
    });
  }
  for (const Job& job : jobs) {
    const std::vector<std::uint8_t> codes = codes_of(job, files, host);
    writing([&] { writer.append(std::as_bytes(std::span(codes))); });
  }
  writing([&] { writer.commit(); });
  return kExitDone;
}

}  // namespace cuqat::cli
