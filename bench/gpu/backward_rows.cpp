// Row 4: straight-through gradients from x, from the mask, and in place from the mask, one element
// in 10 000 being clipped.
#include <cuqat/device_fake_quant.hpp>

#include <memory>

#include "matrix.hpp"
#include "measure.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

enum class From { kX, kMask, kMaskInPlace };

/// dy is x itself: what it is does not matter, only that another place would show.
struct Buffers {
  Buffers(From from, std::int64_t count)
      : x(normal_matrix(from == From::kX ? count : kColumns)),
        dy(normal_matrix(count)),
        dx(from == From::kMaskInPlace ? kElementBytes : count * kElementBytes),
        mask(count / 8) {}
  DeviceBuffer x, dy, dx, mask;
};

class StraightThrough : public Operation {
 public:
  StraightThrough(From from, std::int64_t count, int num_sets)
      : from_(from), count_(count), scale_(std::vector<float>{kInt8Scale}) {
    for (int i = 0; i < num_sets; ++i) {
      sets_.emplace_back(from, count);
      if (from != From::kX) write_mask(sets_.back());
    }
  }

  void run(int set, cudaStream_t stream) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    const ConstDeviceTensorView dy(b.dy.as(), DType::kBF16, shape());
    const DeviceTensorView dx(output(b).as(), DType::kBF16, shape());
    if (from_ == From::kX) {
      const ConstDeviceTensorView x(b.x.as(), DType::kBF16, shape());
      fake_quantize_backward(dy, x, params(), dx, context_, stream);
    } else {
      const DeviceSpan<const std::uint8_t> mask(b.mask.as<std::uint8_t>(), b.mask.size_bytes());
      fake_quantize_backward(dy, mask, dx, context_, stream);
    }
  }

  [[nodiscard]] std::string difference(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    QuantParams params;
    params.scale = {double{kInt8Scale}};
    const Rows rows(count_);
    const std::vector<bfloat16> x = rows.x();
    std::vector<bfloat16> expected(x.size());
    cuqat::fake_quantize_backward(view(x, rows), view(x, rows), params,
                                  TensorView(expected.data(), rows.shape()));
    return bench::difference("dx", output(b), expected);
  }

  void forget(int set) const override {
    const Buffers& b = sets_[static_cast<std::size_t>(set)];
    if (from_ == From::kMaskInPlace) {
      fill(b.dy, normal_period());
    } else {
      spoil(b.dx);
    }
  }

 private:
  [[nodiscard]] Shape shape() const { return {count_ / kColumns, kColumns}; }
  [[nodiscard]] const DeviceBuffer& output(const Buffers& b) const {
    return from_ == From::kMaskInPlace ? b.dy : b.dx;
  }
  [[nodiscard]] DeviceQuantParams params() const {
    DeviceQuantParams params;
    params.scale = {scale_.as(), DType::kF32, Shape{1}};
    return params;
  }
  void write_mask(const Buffers& b) const {
    const DeviceBuffer y(count_ * kElementBytes);
    const Stream stream;
    require(cudaDeviceSynchronize());
    fake_quantize({b.dy.as(), DType::kBF16, shape()}, params(), {y.as(), DType::kBF16, shape()},
                  {{b.mask.as<std::uint8_t>(), b.mask.size_bytes()}, {}}, context_, stream.get());
    stream.wait();
  }

  From from_;
  std::int64_t count_;
  DeviceBuffer scale_;
  DeviceContext context_;
  std::vector<Buffers> sets_;
};

void add(const std::string& name, From from, std::function<Traffic(std::int64_t)> traffic) {
  register_row({name, std::move(traffic), [from](std::int64_t count, int num_sets) {
                  return std::make_unique<StraightThrough>(from, count, num_sets);
                }});
}

const bool kRegistered = [] {
  add("4 straight-through int8 bf16 from x", From::kX, [](std::int64_t count) {
    return Traffic{4 * count, 2 * count};
  });
  add("4 straight-through bf16 from mask", From::kMask, [](std::int64_t count) {
    return Traffic{2 * count + count / 8, 2 * count};
  });
  // The mask, and a sector of 32 bytes for each clipped element.
  add("4 straight-through bf16 from mask in place", From::kMaskInPlace, [](std::int64_t count) {
    return Traffic{count / 8 + count / 10'000 * 32, count / 10'000 * 32};
  });
  return true;
}();

}  // namespace
