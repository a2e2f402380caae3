// Row 16: 300 small weights in one launch, and in a launch for each.
#include <cuqat/device_fake_quant_batch.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t kTensors = 300;

/// Whole rows of the matrix for each tensor, at most 4 (65 536 elements), at least one.
std::int64_t rows_of_tensor(std::int64_t count) {
  return std::clamp<std::int64_t>(count / kColumns / kTensors, 1, 4);
}
std::int64_t num_tensors(std::int64_t count) {
  return std::min(kTensors, count / kColumns / rows_of_tensor(count));
}

class Weights : public Operation {
 public:
  Weights(bool in_one_launch, std::int64_t count, int num_sets)
      : in_one_launch_(in_one_launch),
        count_(count),
        scale_(std::vector<float>(static_cast<std::size_t>(rows_of_tensor(count)), kInt8Scale)) {
    for (int set = 0; set < num_sets; ++set) {
      x_.push_back(normal_matrix(count));
      y_.emplace_back(count * kElementBytes);
    }
    for (int set = 0; set < num_sets; ++set) batches_.emplace_back(items(set), context_);
  }

  void run(int set, cudaStream_t stream) const override {
    if (in_one_launch_) {
      batches_[static_cast<std::size_t>(set)].run(context_, stream);
      return;
    }
    for (const FakeQuantizeItem& item : items(set)) {
      fake_quantize(item.x, item.params, item.y, {}, context_, stream);
    }
  }

  [[nodiscard]] std::string difference(int set) const override {
    const std::int64_t rows_written = num_tensors(count_) * rows_of_tensor(count_);
    QuantParams params;
    params.scale = {double{kInt8Scale}};
    for (const Rows& rows : checked_rows(rows_written * kColumns)) {
      const std::vector<bfloat16> x = rows.x();
      std::vector<bfloat16> y(x.size());
      cuqat::fake_quantize(view(x, rows), params, TensorView(y.data(), rows.shape()));
      const std::string wrong = bench::difference("y", y_[static_cast<std::size_t>(set)],
                                                  rows.begin() * kElementBytes, y);
      if (!wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  [[nodiscard]] std::vector<FakeQuantizeItem> items(int set) const {
    const std::int64_t rows = rows_of_tensor(count_);
    const Shape shape{rows, kColumns};
    std::vector<FakeQuantizeItem> result;
    for (std::int64_t i = 0; i < num_tensors(count_); ++i) {
      const std::int64_t begin = i * shape.count() * kElementBytes;
      FakeQuantizeItem item;
      item.x = {x_[static_cast<std::size_t>(set)].as() + begin, DType::kBF16, shape};
      item.y = {y_[static_cast<std::size_t>(set)].as() + begin, DType::kBF16, shape};
      item.params.granularity = Granularity::channel(0);
      item.params.scale = {scale_.as(), DType::kF32, Shape{rows}};
      result.push_back(item);
    }
    return result;
  }

  bool in_one_launch_;
  std::int64_t count_;
  DeviceBuffer scale_;
  DeviceContext context_;
  std::vector<DeviceBuffer> x_;
  std::vector<DeviceBuffer> y_;
  std::vector<FakeQuantizeBatch> batches_;
};

void add(const std::string& name, bool in_one_launch) {
  const auto traffic = [](std::int64_t count) {
    const std::int64_t elements = num_tensors(count) * rows_of_tensor(count) * kColumns;
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
