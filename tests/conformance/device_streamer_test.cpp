// Tensors of host memory that are counted on the device in parts: the collector of the host, byte
// for byte, for every size of the parts.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "cuqat/device_streamer.hpp"
#include "host/expect_invalid.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

const DeviceContext& context() { return device_under_test().context; }

Bytes some_elements(DType dtype, std::int64_t count) {
  Random random(static_cast<std::uint64_t>(count));
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i % 50 == 7 ? std::numeric_limits<double>::quiet_NaN() : random.normal();
  }
  return to_bytes(dtype, values);
}

std::vector<std::byte> host_state(ConstTensorView batch) {
  CalibrationCollector collector(batch.dtype());
  collector.observe(batch, {Backend::named("reference"), 1});
  return collector.save();
}

class DeviceStreams : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override { set_device_order(0); }
};

TEST_P(DeviceStreams, GiveTheHostsCollectorForEverySizeOfParts) {
  std::vector<std::size_t> sizes{64, 4098};
  if (!kSanitized) sizes.insert(sizes.end(), {2, 3, DeviceStreamer::Options{}.buffer_bytes});
  for (const std::size_t bytes : sizes) {
    DeviceStreamer streamer(context(), {.buffer_bytes = bytes});
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{3, 0, 5}, Shape{31}, Shape{32},
                               Shape{33}, Shape{7, 11}, Shape{2049}, Shape{4099}, Shape{3, 4098}}) {
      if (bytes < 64 && shape.count() > 100) continue;
      if (kSanitized && shape.count() > 3000) continue;
      const Bytes x = some_elements(GetParam(), shape.count());
      const ConstTensorView batch(static_cast<const void*>(x.data()), GetParam(), shape);
      const CalibrationCollector found = streamer.collect(batch);
      ASSERT_EQ(device_fault(), "");
      ASSERT_EQ(found.save(), host_state(batch)) << bytes << ", " << shape.count();
    }
  }
}

TEST_P(DeviceStreams, TakeAnyAlignment) {
  DeviceStreamer streamer(context(), {.buffer_bytes = 1000});
  const Bytes x = some_elements(GetParam(), 1500);
  const std::vector<std::byte> expected =
      host_state({static_cast<const void*>(x.data()), GetParam(), Shape{1500}});
  Bytes shifted(x.size() + 16);
  for (const std::size_t offset : {1u, 2u, 7u, 8u}) {
    std::memcpy(shifted.data() + offset, x.data(), x.size());
    const void* const from = shifted.data() + offset;
    EXPECT_EQ(streamer.collect({from, GetParam(), Shape{1500}}).save(), expected) << offset;
  }
}

TEST_P(DeviceStreams, AreFilledByAnyNumberOfThreads) {
  const std::int64_t count = (3 << 19) + 1;  // 3 MiB, of which each thread takes one
  const Bytes x = some_elements(GetParam(), count);
  const ConstTensorView batch(static_cast<const void*>(x.data()), GetParam(), Shape{count});
  const std::vector<std::byte> expected = host_state(batch);
  for (const int num_threads : {1, 2, 3, kMaxThreads}) {
    DeviceStreamer streamer(context(), {.num_threads = num_threads});
    EXPECT_EQ(streamer.collect(batch).save(), expected) << num_threads;
  }
}

INSTANTIATE_TEST_SUITE_P(SixteenBits, DeviceStreams, testing::Values(DType::kBF16, DType::kF16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST(DeviceStream, RefusesWhatItCannotCountAndStillWorks) {
  expect_invalid([] { const DeviceStreamer none(context(), {.buffer_bytes = 1}); },
                 {"options.buffer_bytes is 1", "at least 2"});
  expect_invalid([] { const DeviceStreamer none(context(), {.num_threads = -1}); },
                 {"options.num_threads is -1"});
  DeviceStreamer first(context(), {.buffer_bytes = 100});
  DeviceStreamer streamer = std::move(first);
  const std::vector<float> wide(10);
  expect_invalid([&] { static_cast<void>(streamer.collect(ConstTensorView(wide))); },
                 {"batch.dtype() is F32", "F16 or BF16"});
  expect_invalid(
      [&] {
        static_cast<void>(
            streamer.collect({static_cast<const void*>(nullptr), DType::kF16, Shape{3}}));
      },
      {"batch.data() is null"});
  const Bytes x = some_elements(DType::kF16, 77);
  const ConstTensorView batch(static_cast<const void*>(x.data()), DType::kF16, Shape{77});
  EXPECT_EQ(streamer.collect(batch).save(), host_state(batch));
}

}  // namespace
}  // namespace cuqat::test
