// cuqat dequantize
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/quantized_file.hpp"
#include "io/error.hpp"
#include "io/names.hpp"
#include "io/safetensors.hpp"
#include "io/safetensors_writer.hpp"

namespace cuqat::cli {
namespace {

/// The elements of a tensor, which lie at any alignment.
template <typename T>
std::vector<T> elements(const io::TensorEntry& tensor) {
  std::vector<T> result(tensor.data.size() / sizeof(T));
  if (!result.empty()) std::memcpy(result.data(), tensor.data.data(), tensor.data.size());
  return result;
}

QuantParams read_stored_params(const io::SafetensorsFile& file, const OriginalTensor& tensor,
                               const CommonParams& common) {
  QuantParams params;
  params.quantizer = common.quantizer;
  params.granularity = common.granularity;
  const io::TensorEntry& scale = part(file, scale_info(tensor, common.granularity));
  if (tensor.dtype == DType::kF64) {
    params.scale = elements<double>(scale);
  } else {
    const std::vector<float> narrow = elements<float>(scale);
    params.scale.assign(narrow.begin(), narrow.end());
  }
  params.zero_point =
      elements<std::int32_t>(part(file, zero_point_info(tensor, common.granularity)));
  return params;
}

io::TensorInfo restored_info(const OriginalTensor& tensor) {
  const auto extents = tensor.shape.extents();
  return {tensor.name, std::string(to_string(tensor.dtype)), {extents.begin(), extents.end()}};
}

std::vector<std::byte> restored(const io::SafetensorsFile& file, const OriginalTensor& tensor,
                                const CommonParams& common, const HostOptions& host) {
  // The codes are checked first: what is allocated is in proportion to them.
  const io::TensorEntry& codes = part(file, codes_info(tensor, common.quantizer.format));
  const QuantParams params = read_stored_params(file, tensor, common);
  std::vector<std::byte> values(static_cast<std::size_t>(tensor.shape.count()) *
                                dtype_bytes(tensor.dtype));
  const std::span code_bytes(reinterpret_cast<const std::uint8_t*>(codes.data.data()),
                             codes.data.size());
  dequantize(code_bytes, params, TensorView(values.data(), tensor.dtype, tensor.shape),
             io::code_layout(common.quantizer.format), host);
  file.release(codes);
  return values;
}

/// The library's complaints are about the file.
template <typename Action>
auto reading(const io::SafetensorsFile& file, const OriginalTensor& tensor, Action action) {
  try {
    return action();
  } catch (const InvalidArgument& error) {
    throw io::FileError(file.display_name(),
                        fmt::format("tensor {}: {}", io::in_quotes(tensor.name), error.what()));
  }
}

}  // namespace

ExitCode dequantize_file(const DequantizeSettings& settings) {
  const HostOptions host = host_options(settings.host);
  const io::SafetensorsFile file = io::SafetensorsFile::open(settings.path);
  QuantizedFile quantized = read_quantized_metadata(file);
  std::ranges::stable_sort(quantized.tensors, std::ranges::greater(),
                           [](const OriginalTensor& tensor) { return dtype_bytes(tensor.dtype); });
  std::vector<io::TensorInfo> infos;
  for (const OriginalTensor& tensor : quantized.tensors) {
    // Before the output is begun, so that a damaged file leaves nothing behind.
    static_cast<void>(part(file, codes_info(tensor, quantized.common.quantizer.format)));
    infos.push_back(restored_info(tensor));
  }
  std::optional<io::SafetensorsWriter> writer;
  opening([&] { writer.emplace(settings.output_path, infos); });
  for (const OriginalTensor& tensor : quantized.tensors) {
    const std::vector<std::byte> values =
        reading(file, tensor, [&] { return restored(file, tensor, quantized.common, host); });
    writing([&] { writer->append(values); });
  }
  writing([&] { writer->commit(); });
  return kExitDone;
}

}  // namespace cuqat::cli
