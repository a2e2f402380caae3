// Row 5: the cast to E4M3 with a scale that is known, also with the statistics of x in the same
// read.
#include <cuqat/device_fake_quant.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

struct Buffers {
  explicit Buffers(std::int64_t count)
      : x(normal_matrix(count)), codes(count), statistics(sizeof(Statistics)) {}
  DeviceBuffer x, codes, statistics;
};

class Cast : public Operation {
 public:
  Cast(bool with_statistics, std::int64_t count, int num_sets)
      : with_statistics_(with_statistics), count_(count), scale_(std::vector<float>{kE4M3Scale}) {
    for (int i = 0; i < num_sets; ++i) sets_.emplace_back(count);
  }

  void run(int set, cudaStream_t stream) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    DeviceQuantParams params;
    params.quantizer.format = Format::kE4M3;
    params.scale = {scale_.as(), DType::kF32, Shape{1}};
    const ConstDeviceTensorView x(b.x.as(), DType::kBF16, Shape{count_});
    const DeviceSpan<std::uint8_t> codes(b.codes.as<std::uint8_t>(), count_);
    if (with_statistics_) {
      quantize(x, params, codes, CodeLayout::kBytes, b.statistics.span<Statistics>(), context_,
               stream);
    } else {
      quantize(x, params, codes, CodeLayout::kBytes, context_, stream);
    }
  }

  [[nodiscard]] std::string difference(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    QuantParams params;
    params.quantizer.format = Format::kE4M3;
    params.scale = {double{kE4M3Scale}};
    const Rows rows(count_);
    const std::vector<bfloat16> x = rows.x();
    std::vector<std::uint8_t> codes(x.size());
    cuqat::quantize(view(x, rows), params, codes, CodeLayout::kBytes);
    const std::string wrong = bench::difference("codes", b.codes, codes);
    if (!with_statistics_ || !wrong.empty()) return wrong;
    const std::vector<Statistics> expected = {statistics_of_normal_matrix(count_)};
    return bench::difference("the statistics", b.statistics, expected);
  }

  void forget(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    spoil(b.codes);
    spoil(b.statistics);
  }

 private:
  bool with_statistics_;
  std::int64_t count_;
  DeviceBuffer scale_;
  DeviceContext context_;
  std::vector<Buffers> sets_;
};

void add(const std::string& name, bool with_statistics) {
  const auto traffic = [](std::int64_t count) { return Traffic{2 * count, count}; };
  register_row({name, traffic, [with_statistics](std::int64_t count, int num_sets) {
                  return std::make_unique<Cast>(with_statistics, count, num_sets);
                }});
}

const bool kRegistered = [] {
  add("5 quantize e4m3 bf16 tensor", false);
  add("5 quantize e4m3 bf16 tensor and statistics", true);
  return true;
}();

}  // namespace
