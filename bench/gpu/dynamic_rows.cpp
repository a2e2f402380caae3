// Rows 3 and 6: dynamic quantization. int4 groups to values, E4M3 and int8 rows to codes.
#include <cuqat/device_dynamic_quant.hpp>
#include <cuqat/dynamic_quant.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

struct Variant {
  Format format;
  std::int64_t group;
  bool to_codes;
};

std::int64_t num_groups(const Variant& variant, std::int64_t count) {
  return count / kColumns * ((kColumns - 1) / variant.group + 1);
}

Traffic traffic_of(const Variant& variant, std::int64_t count) {
  const std::int64_t scales = num_groups(variant, count) * 4;
  return {2 * count, (variant.to_codes ? 1 : 2) * count + scales};
}

DynamicQuantization how_of(const Variant& variant) {
  DynamicQuantization how{{}, Granularity::group(variant.group), true};
  how.quantizer.format = variant.format;
  how.quantizer.narrow_range = is_integer(variant.format);
  return how;
}

struct Buffers {
  Buffers(const Variant& variant, std::int64_t count)
      : x(normal_matrix(count)),
        output(count * (variant.to_codes ? 1 : kElementBytes)),
        scale(num_groups(variant, count) * 4) {}
  DeviceBuffer x, output, scale;
};

class Dynamic : public Operation {
 public:
  Dynamic(const Variant& variant, std::int64_t count, int num_sets)
      : variant_(variant), count_(count) {
    for (int i = 0; i < num_sets; ++i) sets_.emplace_back(variant, count);
  }

  void run(int set, cudaStream_t stream) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    const Shape shape{count_ / kColumns, kColumns};
    const ConstDeviceTensorView x(b.x.as(), DType::kBF16, shape);
    const DeviceScales scales{{b.scale.as(), DType::kF32, Shape{num_groups(variant_, count_)}}, {}};
    if (variant_.to_codes) {
      quantize_dynamic(x, how_of(variant_), {b.output.as<std::uint8_t>(), count_},
                       CodeLayout::kBytes, scales, context_, stream);
    } else {
      fake_quantize_dynamic(x, how_of(variant_), {b.output.as(), DType::kBF16, shape}, scales, {},
                            context_, stream);
    }
  }

  [[nodiscard]] std::string difference(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    const Rows rows(count_);
    const std::vector<bfloat16> x = rows.x();
    std::string wrong;
    QuantParams params;
    if (variant_.to_codes) {
      std::vector<std::uint8_t> codes(x.size());
      params = quantize_dynamic(view(x, rows), how_of(variant_), codes);
      wrong = bench::difference("codes", b.output, codes);
    } else {
      std::vector<bfloat16> y(x.size());
      params = fake_quantize_dynamic(view(x, rows), how_of(variant_),
                                     TensorView(y.data(), rows.shape()));
      wrong = bench::difference("y", b.output, y);
    }
    if (!wrong.empty()) return wrong;
    const std::vector<float> scales(params.scale.begin(), params.scale.end());
    return bench::difference("scales", b.scale, scales);
  }

  void forget(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    spoil(b.output);
    spoil(b.scale);
  }

 private:
  Variant variant_;
  std::int64_t count_;
  DeviceContext context_;
  std::vector<Buffers> sets_;
};

void add(const std::string& name, const Variant& variant) {
  register_row({name, [variant](std::int64_t count) { return traffic_of(variant, count); },
                [variant](std::int64_t count, int num_sets) {
                  return std::make_unique<Dynamic>(variant, count, num_sets);
                }});
}

const bool kRegistered = [] {
  add("3 fake_quantize_dynamic int4 bf16 group 32", {Format::kInt4, 32, false});
  add("3 fake_quantize_dynamic int4 bf16 group 128", {Format::kInt4, 128, false});
  add("6 quantize_dynamic e4m3 bf16 row", {Format::kE4M3, kColumns, true});
  add("6 quantize_dynamic int8 bf16 row", {Format::kInt8, kColumns, true});
  return true;
}();

}  // namespace
