#include "cli/json_output.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/text.hpp"
#include "cuqat/version.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

// Written piece by piece: the scales of a group granularity can outgrow memory as a document.
std::string json_number(double value) {
  return std::isfinite(value) ? exact_number(value) : "null";
}

std::string json_string(std::string_view text) { return nlohmann::json(text).dump(); }

void write_array(Output& output, std::string_view key, const std::vector<double>& values) {
  output.write(fmt::format(", \"{}\": [", key));
  for (std::size_t i = 0; i < values.size(); ++i) {
    output.write((i > 0 ? ", " : "") + json_number(values[i]));
  }
  output.write("]");
}

// One zero for each scale where the format has none.
void write_zero_points(Output& output, const QuantParams& params) {
  output.write(", \"zero_point\": [");
  for (std::size_t i = 0; i < params.scale.size(); ++i) {
    const std::int32_t zero_point = params.zero_point.empty() ? 0 : params.zero_point[i];
    output.write((i > 0 ? ", " : "") + std::to_string(zero_point));
  }
  output.write("]");
}

}  // namespace

CalibrationJson::CalibrationJson(Output& output, const CalibrationOptions& common,
                                 const Granularity& granularity)
    : output_(output) {
  output_.write(fmt::format(
      "{{\"cuqat\": \"{}\", \"format\": \"{}\", \"symmetric\": {}, \"granularity\": \"{}\", "
      "\"rounding\": \"{}\",\n \"tensors\": [",
      CUQAT_VERSION_STRING, to_string(common.format), common.symmetric, io::to_text(granularity),
      to_string(common.rounding)));
}

void CalibrationJson::add(const TensorReport& report) {
  const Statistics& all = report.statistics;
  output_.write(fmt::format(
      "{}\n  {{\"name\": {}, \"dtype\": \"{}\", \"shape\": [{}], \"count\": {}, \"nan\": {}, "
      "\"pos_inf\": {}, \"neg_inf\": {}, \"zeros\": {}, \"min\": {}, \"max\": {},\n"
      "   \"results\": [",
      has_tensors_ ? "," : "", json_string(report.name), to_string(report.dtype),
      fmt::join(report.shape, ", "), all.count, all.nan, all.pos_inf, all.neg_inf, all.zeros,
      json_number(all.min), json_number(all.max)));
  has_tensors_ = true;
  std::string_view separator = "\n    ";
  for (const CalibrationResult& result : report.results) {
    output_.write(separator);
    add_result(result);
    separator = ",\n    ";
  }
  output_.write("]}");
}

void CalibrationJson::add_result(const CalibrationResult& result) {
  const CalibrationOptions& options = result.options;
  std::string head = fmt::format("{{\"method\": \"{}\"", to_string(options.method));
  if (options.method == CalibMethod::kPercentile) {
    head += ", \"percentile\": " + exact_number(options.percentile);
  }
  output_.write(head + fmt::format(", \"exact\": {}", result.exact));
  write_array(output_, "scale", result.params.scale);
  write_zero_points(output_, result.params);
  write_array(output_, "low", result.low);
  write_array(output_, "high", result.high);
  output_.write(fmt::format(", \"clipped\": {}, \"mse\": {}, \"sqnr_db\": {}}}",
                            json_number(result.clipped), json_number(result.mse),
                            json_number(result.sqnr_db)));
}

void CalibrationJson::finish() { output_.write("]}\n"); }

}  // namespace cuqat::cli
