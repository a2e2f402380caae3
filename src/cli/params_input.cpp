#include "cli/params_input.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "cli/error.hpp"
#include "cli/json_fields.hpp"
#include "cli/report.hpp"
#include "io/json_input.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

CommonParams read_common(const JsonFields& fields) {
  CommonParams common;
  common.symmetric = fields.boolean("symmetric");
  common.granularity =
      fields.word("granularity", io::parse_granularity, "tensor, channel:AXIS or group:N");
  common.quantizer.format = fields.word("format", io::parse_format, "int8, int4, e4m3 or e5m2");
  common.quantizer.rounding =
      fields.word("rounding", io::parse_rounding, "nearest-even or original");
  const bool is_fp8 = !is_integer(common.quantizer.format);
  if (is_fp8 && !common.symmetric) fields.fail("\"symmetric\" is false; FP8 formats need true");
  if (is_fp8 && common.quantizer.rounding != Rounding::kNearestEven) {
    fields.fail("\"rounding\" is \"original\"; FP8 formats need nearest-even");
  }
  common.quantizer.narrow_range = common.symmetric && !is_fp8;
  return common;
}

NamedParams read_result(const JsonFields& fields, const CommonParams& common) {
  CalibrationOptions options;
  options.method =
      fields.word("method", io::parse_method, "minmax, percentile, entropy, mse or sqnr");
  if (options.method == CalibMethod::kPercentile) options.percentile = fields.number("percentile");
  NamedParams result{std::string(to_string(options.method)), result_label(options), {}};
  result.params.quantizer = common.quantizer;
  result.params.granularity = common.granularity;
  result.params.scale = fields.numbers("scale");
  for (const double scale : result.params.scale) {
    if (!(scale > 0.0) || !std::isfinite(scale)) {
      fields.fail(fmt::format("\"scale\" holds {}; a scale must be positive and finite", scale));
    }
  }
  using Limits = std::numeric_limits<std::int32_t>;
  result.params.zero_point.clear();
  for (const std::int64_t zero_point :
       fields.integers("zero_point", Limits::min(), Limits::max())) {
    if (common.symmetric && zero_point != 0) {
      fields.fail(fmt::format("\"zero_point\" holds {}; with \"symmetric\": true it must be 0",
                              zero_point));
    }
    result.params.zero_point.push_back(static_cast<std::int32_t>(zero_point));
  }
  const std::size_t num_scales = result.params.scale.size();
  if (result.params.zero_point.size() != num_scales) {
    fields.fail(fmt::format("\"zero_point\" has {} entries; \"scale\" has {}",
                            result.params.zero_point.size(), num_scales));
  }
  if (common.granularity.kind == Granularity::Kind::kTensor && num_scales != 1) {
    fields.fail(fmt::format("\"scale\" has {} entries; granularity tensor needs 1", num_scales));
  }
  return result;
}

TensorParams read_tensor(const nlohmann::json& json, const std::string& file,
                         const std::string& place, const CommonParams& common) {
  const JsonFields fields(json, file, place);
  TensorParams tensor{fields.text("name"), DType::kF32, {}};
  const std::string named_place = "tensor " + io::in_quotes(tensor.name);
  tensor.dtype = fields.word("dtype", io::parse_dtype, "F64, F32, F16 or BF16");
  const nlohmann::json& results = fields.array("results");
  if (results.empty()) fields.fail("\"results\" is empty");
  for (std::size_t i = 0; i < results.size(); ++i) {
    const JsonFields result(results[i], file, fmt::format("{}, results[{}]", named_place, i));
    tensor.results.push_back(read_result(result, common));
  }
  return tensor;
}

}  // namespace

ParamsFile read_params(const std::string& path) {
  const nlohmann::json json = io::read_json(path);
  ParamsFile file{path == "-" ? "standard input" : path, {}, {}};
  const JsonFields fields(json, file.display_name, "");
  static_cast<void>(fields.text("cuqat"));  // Present in every such file, whatever the version.
  file.common = read_common(fields);
  std::set<std::string_view> names;
  const nlohmann::json& tensors = fields.array("tensors");
  file.tensors.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string place = fmt::format("tensors[{}]", i);
    file.tensors.push_back(read_tensor(tensors[i], file.display_name, place, file.common));
    if (!names.insert(file.tensors.back().name).second) {
      fields.fail(fmt::format("{}: the name {} is repeated", place,
                              io::in_quotes(file.tensors.back().name)));
    }
  }
  if (file.tensors.empty()) fields.fail("\"tensors\" is empty");
  return file;
}

const NamedParams& choose(const TensorParams& tensor, const std::string* method,
                          const std::string& file) {
  std::vector<const NamedParams*> chosen;
  std::string labels;
  for (const NamedParams& result : tensor.results) {
    labels += (labels.empty() ? "" : ", ") + result.label;
    if (method == nullptr || *method == result.method || *method == result.label) {
      chosen.push_back(&result);
    }
  }
  if (chosen.size() == 1) return *chosen.front();
  throw UsageError(fmt::format(
      "{}: tensor {} has {} result{}{}; choose by --method one of {}", file,
      io::in_quotes(tensor.name), chosen.empty() ? "no" : "more than one",
      method == nullptr ? "" : " of ", method == nullptr ? "" : io::in_quotes(*method), labels));
}

}  // namespace cuqat::cli
