// Row 16: 300 small weights in one launch, and in a launch for each.
#include <cuqat/device_fake_quant_batch.hpp>

#include <algorithm>
#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t kTensors = 300;
constexpr std::int64_t kTensorColumns = 64;
constexpr std::int64_t kTensorRows = 1024;  // at most

/// Each has a scale for each row.
Shape tensor_shape(std::int64_t count) {
  return {std::clamp<std::int64_t>(count / kTensorColumns / kTensors, 1, kTensorRows),
          kTensorColumns};
}

class Weights : public Operation {
 public:
  Weights(bool in_one_launch, std::int64_t count, int num_sets)
      : in_one_launch_(in_one_launch),
        shape_(tensor_shape(count)),
        scale_(std::vector<float>(static_cast<std::size_t>(shape_.extents()[0]), kInt8Scale)) {
    const std::int64_t elements = kTensors * shape_.count();
    for (int set = 0; set < num_sets; ++set) {
      x_.push_back(normal_matrix(elements));
      y_.emplace_back(elements * kElementBytes);
    }
    for (int set = 0; set < num_sets; ++set) {
      items_.push_back(items(set));
      batches_.emplace_back(items_.back(), context_);
    }
  }

  void run(int set, cudaStream_t stream) const override {
    if (in_one_launch_) {
      batches_[static_cast<std::size_t>(set)].run(context_, stream);
      return;
    }
    for (const FakeQuantizeItem& item : items_[static_cast<std::size_t>(set)]) {
      fake_quantize(item.x, item.params, item.y, {}, context_, stream);
    }
  }

  [[nodiscard]] std::string difference(int set) const override {
    QuantParams params;
    params.scale = {double{kInt8Scale}};
    std::vector<bfloat16> y(normal_period().size());
    const Shape all{static_cast<std::int64_t>(y.size())};
    cuqat::fake_quantize(ConstTensorView(normal_period().data(), all), params,
                         TensorView(y.data(), all));
    return bench::difference("y", y_[static_cast<std::size_t>(set)], y);
  }

  void forget(int set) const override { spoil(y_[static_cast<std::size_t>(set)]); }

 private:
  [[nodiscard]] std::vector<FakeQuantizeItem> items(int set) const {
    std::vector<FakeQuantizeItem> result;
    for (std::int64_t i = 0; i < kTensors; ++i) {
      const std::int64_t begin = i * shape_.count() * kElementBytes;
      FakeQuantizeItem item;
      item.x = {x_[static_cast<std::size_t>(set)].as() + begin, DType::kBF16, shape_};
      item.y = {y_[static_cast<std::size_t>(set)].as() + begin, DType::kBF16, shape_};
      item.params.granularity = Granularity::channel(0);
      item.params.scale = {scale_.as(), DType::kF32, Shape{shape_.extents()[0]}};
      result.push_back(item);
    }
    return result;
  }

  bool in_one_launch_;
  Shape shape_;
  DeviceBuffer scale_;
  DeviceContext context_;
  std::vector<DeviceBuffer> x_;
  std::vector<DeviceBuffer> y_;
  std::vector<std::vector<FakeQuantizeItem>> items_;
  std::vector<FakeQuantizeBatch> batches_;
};

void add(const std::string& name, bool in_one_launch) {
  const auto traffic = [](std::int64_t count) {
    const std::int64_t elements = kTensors * tensor_shape(count).count();
    return Traffic{2 * elements, 2 * elements};
  };
  register_row({name, traffic, [in_one_launch](std::int64_t count, int num_sets) {
                  return std::make_unique<Weights>(in_one_launch, count, num_sets);
                }});
}

const bool kRegistered = [] {
  add("16 fake_quantize int8 bf16 of 300 tensors, one launch", true);
  add("16 fake_quantize int8 bf16 of 300 tensors, a launch each", false);
  return true;
}();

}  // namespace
