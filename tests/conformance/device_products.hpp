// What tests of products on the device share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_gemm.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {

using Codes = std::vector<std::uint8_t>;

/// Every code is as likely as the others.
inline Codes some_codes(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  Codes codes(static_cast<std::size_t>(count));
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() >> 56);
  return codes;
}

/// Bytes in device memory, so many past an address that is a multiple of 256.
class Placed {
 public:
  template <typename T>
  explicit Placed(const std::vector<T>& content, std::size_t offset = 0)
      : offset_(offset), bytes_(content.size() * sizeof(T)), memory_(shifted(content, offset)) {}

  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(memory_.as() + offset_);
  }
  template <typename T>
  [[nodiscard]] DeviceSpan<T> span() const {
    return {as<T>(), static_cast<std::int64_t>(bytes_ / sizeof(T))};
  }
  /// And that nothing beside them was written.
  template <typename T>
  [[nodiscard]] std::vector<T> content() const {
    const Bytes all = memory_.content<std::byte>();
    for (std::size_t i = 0; i < offset_ + kAfter; ++i) {
      EXPECT_EQ(all[i < offset_ ? i : i + bytes_], kBeside) << "memory beside was written";
    }
    std::vector<T> result(bytes_ / sizeof(T));
    if (bytes_ > 0) std::memcpy(result.data(), all.data() + offset_, bytes_);
    return result;
  }

 private:
  static constexpr std::size_t kAfter = 64;
  static constexpr std::byte kBeside{0x3c};

  template <typename T>
  static Bytes shifted(const std::vector<T>& content, std::size_t offset) {
    Bytes all(offset + content.size() * sizeof(T) + kAfter, kBeside);
    if (!content.empty()) {
      std::memcpy(all.data() + offset, content.data(), content.size() * sizeof(T));
    }
    return all;
  }

  std::size_t offset_;
  std::size_t bytes_;
  DeviceMemory memory_;
};

/// False on a machine without cuBLASLt, where products are not tested.
inline bool has_products() {
  static const bool kHasProducts = [] {
    const DeviceMemory codes(Codes(16));
    const DeviceMemory product(sizeof(std::int32_t));
    try {
      int8_gemm({codes.as<const std::uint8_t>(), 1}, {codes.as<const std::uint8_t>(), 1}, {1, 1, 1},
                {product.as<std::int32_t>(), 1}, device_under_test().context,
                device_under_test().stream);
    } catch (const BackendUnavailable&) {
      return false;
    }
    EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
    return true;
  }();
  return kHasProducts;
}

#define CUQAT_SKIP_WITHOUT_PRODUCTS() \
  if (!has_products()) GTEST_SKIP() << "NOTHING WAS TESTED: there is no cuBLASLt here"

/// The device's context makes products: where the order has a graph, the first of a shape comes
/// before, as it allocates.
inline void run_product(const std::function<void()>& work) {
  work();
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  run_on_device(work);
  ASSERT_EQ(device_fault(), "");
}

}  // namespace cuqat::test
