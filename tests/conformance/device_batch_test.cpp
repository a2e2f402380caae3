// A batch of tensors gives what each of them gives alone, in one launch.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "host/expect_invalid.hpp"
#include "reference/reference_backend.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

/// A tensor of a batch, and what the reference makes of it.
class Member {
 public:
  Member(const ScaledCase& test_case, bool with_mask, std::size_t offset)
      : data_(test_case),
        offset_(offset),
        x_(shifted(data_.x())),
        y_(shifted(Bytes(data_.x().size(), kGuard))),
        mask_(Bytes(with_mask ? clip_mask_bytes(count()) : 0, kGuard)),
        scale_(scale_bytes(data_.scaled())),
        zero_point_(zero_points(data_.scaled())) {}

  [[nodiscard]] FakeQuantizeItem item() const {
    const ScaledCase& c = data_.parameters();
    const auto scales = static_cast<std::int64_t>(data_.num_scales());
    FakeQuantizeItem item;
    item.x = {x_.as<>() + offset_, c.dtype, c.shape};
    item.y = {y_.as<>() + offset_, c.dtype, c.shape};
    item.params = {
        c.quantizer,
        c.granularity,
        {scale_.as<void>(), c.dtype == DType::kF64 ? DType::kF64 : DType::kF32, Shape{scales}},
        {}};
    if (is_integer(c.quantizer.format)) {
      item.params.zero_point = {zero_point_.as<std::int32_t>(), scales};
    }
    item.clip_mask = {mask_.as<std::uint8_t>(), static_cast<std::int64_t>(mask_.size_bytes())};
    return item;
  }

  void expect_reference(const std::string& what) const {
    Bytes y(data_.x().size());
    std::vector<std::uint8_t> mask(clip_mask_bytes(count()));
    reference::operations().fake_quantize(data_.scaled(), data_.x().data(), y.data(), mask.data());
    ASSERT_TRUE(y_.content<std::byte>() == shifted(y)) << what << ", " << data_.parameters();
    if (mask_.size_bytes() == 0) return;
    ASSERT_TRUE(mask_.content<std::uint8_t>() == mask) << what << ", " << data_.parameters();
  }

 private:
  static constexpr std::byte kGuard{0x5c};

  [[nodiscard]] std::int64_t count() const { return data_.parameters().shape.count(); }
  [[nodiscard]] Bytes shifted(const Bytes& bytes) const {
    Bytes result(offset_, kGuard);
    result.insert(result.end(), bytes.begin(), bytes.end());
    return result;
  }
  static Bytes scale_bytes(const detail::ScaledTensor& tensor) {
    const std::size_t bytes = tensor.dtype == DType::kF64 ? 8 : 4;
    const auto* begin = static_cast<const std::byte*>(tensor.scale);
    return {begin, begin + static_cast<std::size_t>(tensor.num_scales) * bytes};
  }
  static std::vector<std::int32_t> zero_points(const detail::ScaledTensor& tensor) {
    return {tensor.zero_point, tensor.zero_point + tensor.num_scales};
  }

  CaseData data_;
  std::size_t offset_;
  DeviceMemory x_;
  DeviceMemory y_;
  DeviceMemory mask_;
  DeviceMemory scale_;
  DeviceMemory zero_point_;
};

class DeviceBatch : public testing::TestWithParam<std::tuple<Format, DType>> {};

TEST_P(DeviceBatch, HasTheBitsOfEachTensorAlone) {
  const auto& [format, dtype] = GetParam();
  const std::int64_t long_row = dtype == DType::kF64 ? 5'000 : 20'000;  // several tiles
  const std::vector<std::pair<Shape, Granularity>> tensors = {
      {Shape{0}, Granularity::tensor()},         {Shape{1}, Granularity::tensor()},
      {Shape{33, 31}, Granularity::channel(0)},  {Shape{8191}, Granularity::tensor()},
      {Shape{5, 0, 3}, Granularity::channel(1)}, {Shape{3, long_row}, Granularity::channel(0)},
      {Shape{64, 24}, Granularity::channel(1)},  {Shape{7, 100}, Granularity::group(32)},
      {Shape{8192}, Granularity::tensor()},      {Shape{8193}, Granularity::tensor()}};
  for (const Quantizer& quantizer : quantizers(format)) {
    std::vector<std::unique_ptr<Member>> members;
    std::vector<FakeQuantizeItem> items;
    for (const auto& [shape, granularity] : tensors) {
      const std::size_t i = members.size();
      members.push_back(std::make_unique<Member>(
          ScaledCase{quantizer, dtype, shape, granularity, DataKind::kMixed, 1, i}, i % 3 != 0,
          i % 5));
      items.push_back(members.back()->item());
    }
    const FakeQuantizeBatch batch(items, device_under_test().context);
    for (int order = 0; order < num_device_orders(); order += 5) {
      set_device_order(order);
      run_on_device([&] { batch.run(device_under_test().context, device_under_test().stream); });
      ASSERT_EQ(device_fault(), "");
      for (const auto& member : members) {
        member->expect_reference(device_order_name(order));
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceBatch,
                         testing::Combine(testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes)),
                         [](const auto& test) {
                           return std::string(to_string(std::get<0>(test.param))) + "_" +
                                  std::string(to_string(std::get<1>(test.param)));
                         });

using DeviceBatchCalls = DeviceArguments;

TEST_F(DeviceBatchCalls, IsOneLaunchForAnyNumberOfTensors) {
  std::vector<FakeQuantizeItem> items;
  for (int i = 0; i < 300; ++i) {
    const Shape part{3};
    items.push_back({{static_cast<float*>(x_) + 3 * i, part},
                     params(),
                     {static_cast<float*>(y_) + 3 * i, part},
                     {}});
  }
  const FakeQuantizeBatch batch(items, context());
  const Enqueued call = enqueued_by([&] { batch.run(context(), stream()); });
  EXPECT_EQ(call.kernels, 1);
  EXPECT_EQ(call.others, 0);
  const FakeQuantizeBatch none({}, context());
  EXPECT_EQ(enqueued_by([&] { none.run(context(), stream()); }).kernels, 0);
}

TEST_F(DeviceBatchCalls, NamesTheItemThatDoesNotFit) {
  const FakeQuantizeItem good{x(), params(), y(), {}};
  const auto expect = [&](const FakeQuantizeItem& bad,
                          std::initializer_list<std::string_view> parts) {
    const std::vector<FakeQuantizeItem> items{good, bad};
    expect_invalid([&] { const FakeQuantizeBatch batch(items, context()); }, parts);
  };
  FakeQuantizeItem bad = good;
  bad.y = {y_, DType::kF32, Shape{kCount - 1}};
  expect(bad, {"items[1]: y.shape()", "[999]", "[1000]"});
  bad = good;
  bad.params.quantizer.format = Format::kE4M3;
  expect(bad, {"items[1]: params.quantizer", "the same for all"});
  bad = good;
  bad.x = {x_, DType::kBF16, Shape{kCount}};
  expect(bad, {"items[1]: x.dtype()"});
  bad = good;
  std::vector<float> host(kCount);
  bad.x = {host.data(), DType::kF32, Shape{kCount}};
  expect(bad, {"items[1]: x is", "device memory"});
  bad = good;
  bad.clip_mask = {static_cast<std::uint8_t*>(mask_), 124};
  expect(bad, {"items[1]: clip_mask.size()", "124", "125"});
}

TEST_F(DeviceBatchCalls, ItemsMayShareWhatIsReadAndNothingElse) {
  const auto part = [](void* memory, std::int64_t begin, std::int64_t count) {
    return DeviceTensorView(static_cast<float*>(memory) + begin, Shape{count});
  };
  auto* const mask = static_cast<std::uint8_t*>(mask_);
  const auto make = [&](const FakeQuantizeItem& first, const FakeQuantizeItem& second) {
    const std::vector<FakeQuantizeItem> items{first, second};
    const FakeQuantizeBatch batch(items, context());
  };
  const FakeQuantizeItem first{x(), params(), part(y_, 0, kCount), {mask, 125}};
  const auto expect = [&](const FakeQuantizeItem& second,
                          std::initializer_list<std::string_view> parts) {
    expect_invalid([&] { make(first, second); }, parts);
    expect_invalid([&] { make(second, first); }, {"uses; it must be apart from it"});
  };
  expect({part(x_, 0, 10), params(), part(y_, kCount - 10, 10), {}},
         {"items[0].y is in memory that items[1].y uses"});
  expect({part(x_, 990, 10), params(), part(x_, 990, 10), {}},
         {"items[1].y is in memory that items[0].x uses"});
  expect({part(y_, 5, 3), params(), part(statistics_, 0, 3), {}},
         {"items[0].y is in memory that items[1].x uses"});
  expect({part(x_, 0, 8), params(), part(statistics_, 0, 8), {mask + 124, 1}},
         {"items[0].clip_mask is in memory that items[1].clip_mask uses"});
  make(first, {part(x_, 0, 8), params(), part(statistics_, 0, 8), {mask + 125, 1}});
  make({part(x_, 0, 8), params(), part(x_, 0, 8), {}},
       {part(x_, 8, 8), params(), part(x_, 8, 8), {}});
}

}  // namespace
}  // namespace cuqat::test
