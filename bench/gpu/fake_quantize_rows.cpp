// Rows 1 and 2: int8 fake quantize with its packed mask and the statistics of x, in one read; for a
// tensor, in grids of several sizes, and for channels along both axes.
#include <cuqat/device_fake_quant.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

struct Variant {
  Granularity granularity = Granularity::tensor();
  bool extras = true;  ///< The mask and the statistics.
  int waves = 1;       ///< Grids of so many times what runs at once.
};

DeviceContext context_of(const Variant& variant) {
  int device = 0;
  DeviceContext::Options options;
  require(cudaGetDevice(&device));
  require(
      cudaDeviceGetAttribute(&options.num_multiprocessors, cudaDevAttrMultiProcessorCount, device));
  options.num_multiprocessors *= variant.waves;
  return DeviceContext(options);
}

struct Buffers {
  explicit Buffers(std::int64_t count)
      : x(normal_matrix(count)),
        y(count * kElementBytes),
        mask(count / 8),
        statistics(sizeof(Statistics)) {}
  DeviceBuffer x, y, mask, statistics;
};

class FakeQuantize : public Operation {
 public:
  FakeQuantize(const Variant& variant, std::int64_t count, int num_sets)
      : variant_(variant),
        count_(count),
        scales_(make_scales()),
        device_scales_(scales_),
        context_(context_of(variant)) {
    for (int i = 0; i < num_sets; ++i) sets_.emplace_back(count);
  }

  void run(int set, cudaStream_t stream) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    DeviceQuantParams params;
    params.granularity = variant_.granularity;
    params.scale = {device_scales_.as(), DType::kF32,
                    Shape{static_cast<std::int64_t>(scales_.size())}};
    FakeQuantizeExtras extras;
    if (variant_.extras) {
      extras = {{b.mask.as<std::uint8_t>(), b.mask.size_bytes()}, b.statistics.span<Statistics>()};
    }
    const Shape shape{count_ / kColumns, kColumns};
    fake_quantize({b.x.as(), DType::kBF16, shape}, params, {b.y.as(), DType::kBF16, shape}, extras,
                  context_, stream);
  }

  [[nodiscard]] std::string difference(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    const Rows rows(count_);
    const std::vector<bfloat16> x = rows.x();
    std::vector<bfloat16> y(x.size());
    std::vector<std::uint8_t> mask(x.size() / 8);
    cuqat::fake_quantize(view(x, rows), host_params(rows), TensorView(y.data(), rows.shape()),
                         mask);
    std::string wrong = bench::difference("y", b.y, y);
    if (!variant_.extras || !wrong.empty()) return wrong;
    wrong = bench::difference("the mask", b.mask, mask);
    if (!wrong.empty()) return wrong;
    const std::vector<Statistics> expected = {statistics_of_normal_matrix(count_)};
    return bench::difference("the statistics", b.statistics, expected);
  }

  void forget(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    spoil(b.y);
    spoil(b.mask);
    spoil(b.statistics);
  }

 private:
  /// Different scales, of about the same clipping, which repeat within a period of the data.
  [[nodiscard]] std::vector<float> make_scales() const {
    const Shape shape{count_ / kColumns, kColumns};
    std::vector<float> scales(static_cast<std::size_t>(num_scales(variant_.granularity, shape)));
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = kInt8Scale * (1.0f + static_cast<float>(i % 8) * 0.01f);
    }
    return scales;
  }
  [[nodiscard]] QuantParams host_params(const Rows& rows) const {
    QuantParams params;
    params.granularity = variant_.granularity;
    params.scale.assign(scales_.begin(), scales_.end());
    if (variant_.granularity == Granularity::channel(0)) {
      params.scale.resize(static_cast<std::size_t>(rows.num_rows));
    }
    return params;
  }

  Variant variant_;
  std::int64_t count_;
  std::vector<float> scales_;
  DeviceBuffer device_scales_;
  DeviceContext context_;
  std::vector<Buffers> sets_;
};

void add(const std::string& name, const Variant& variant) {
  const auto traffic = [variant](std::int64_t count) {
    return Traffic{2 * count, 2 * count + (variant.extras ? count / 8 : 0)};
  };
  register_row({name, traffic, [variant](std::int64_t count, int num_sets) {
                  return std::make_unique<FakeQuantize>(variant, count, num_sets);
                }});
}

const bool kRegistered = [] {
  add("1 fake_quantize int8 bf16 tensor, mask and statistics", {});
  add("1 fake_quantize int8 bf16 tensor", {.extras = false});
  add("1 fake_quantize int8 bf16 tensor, mask and statistics, 2 waves", {.waves = 2});
  add("1 fake_quantize int8 bf16 tensor, mask and statistics, 4 waves", {.waves = 4});
  add("2 fake_quantize int8 bf16 channel 0, mask and statistics",
      {.granularity = Granularity::channel(0)});
  add("2 fake_quantize int8 bf16 channel 1, mask and statistics",
      {.granularity = Granularity::channel(1)});
  return true;
}();

}  // namespace
