#include "cli/report_bytes.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cuqat::cli {
namespace {

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}

  template <typename T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  template <typename T>
  void put(const std::vector<T>& values) {
    put(static_cast<std::uint64_t>(values.size()));
    const auto bytes = std::as_bytes(std::span(values));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

 private:
  std::vector<std::byte>& bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
  template <typename T>
  void take(T& value) {
    copy(&value, sizeof(value));
  }
  template <typename T>
  void take(std::vector<T>& values) {
    std::uint64_t size = 0;
    take(size);
    values.resize(static_cast<std::size_t>(size));
    copy(values.data(), values.size() * sizeof(T));
  }

 private:
  void copy(void* to, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, rest_.data(), bytes);
    rest_ = rest_.subspan(bytes);
  }
  std::span<const std::byte> rest_;
};

/// body(field) for everything that a report has, for both ways.
template <typename Report, typename Body>
void for_each_field(Report& one, const Body& body) {
  body(one.tensor);
  body(one.report.dtype);
  body(one.report.shape);
  body(one.report.statistics);
  body(one.report.histogram);
  for (auto& result : one.report.results) {
    body(result.params.quantizer);
    body(result.params.granularity);
    body(result.params.scale);
    body(result.params.zero_point);
    body(result.low);
    body(result.high);
    body(result.exact);
    body(result.clipped);
    body(result.mse);
    body(result.sqnr_db);
  }
  body(one.state);
}

}  // namespace

void append(const RankReport& report, std::vector<std::byte>& bytes) {
  Writer writer(bytes);
  for_each_field(report, [&](const auto& field) { writer.put(field); });
}

std::vector<RankReport> reports_of(std::span<const std::byte> bytes,
                                   std::span<const CalibrationOptions> methods) {
  std::vector<RankReport> reports;
  for (Reader reader(bytes); !reader.at_end();) {
    RankReport& report = reports.emplace_back();
    for (const CalibrationOptions& method : methods) {
      report.report.results.emplace_back().options = method;
    }
    for_each_field(report, [&](auto& field) { reader.take(field); });
  }
  return reports;
}

}  // namespace cuqat::cli
