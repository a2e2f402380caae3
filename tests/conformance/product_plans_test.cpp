// What products ask of cuBLASLt and of the runtime, which only the executor tells: how often, when
// they wait, what they leave behind where a call fails.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "conformance/device_products.hpp"
#include "simt/executor.hpp"
#include "support/captured_graph.hpp"

namespace cuqat::test {
namespace {

class ProductPlans : public testing::Test {
 protected:
  ProductPlans() { set_device_order(0); }

  void multiply(const GemmShape& shape, const DeviceContext& context, std::size_t offset = 0) {
    int8_gemm({x_.as<const std::uint8_t>() + offset, shape.m * shape.k},
              {x_.as<const std::uint8_t>(), shape.n * shape.k}, shape,
              {product_.as<std::int32_t>(), shape.m * shape.n}, context,
              device_under_test().stream);
  }
  void multiply_floats(const DeviceContext& context) {
    const auto view = [](const Placed& memory, std::int64_t rows) {
      return DeviceTensorView(memory.as<void>(), DType::kF32, Shape{rows, 8});
    };
    gemm(view(x_, 20), Transpose::kNo, view(x_, 8), Transpose::kYes, view(product_, 20), context,
         device_under_test().stream);
  }
  static simt::Counters counted(const std::function<void()>& call) {
    simt::reset_counters();
    call();
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
    const simt::Counters result = simt::counters();
    EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
    EXPECT_EQ(simt::fault(), "");
    return result;
  }

  Placed x_{some_codes(4096, 7)};
  Placed product_{std::vector<std::int32_t>(1024)};
};

TEST_F(ProductPlans, AreMadeOnceForAKindOfProduct) {
  const DeviceContext context;
  const auto heuristics = [&](const GemmShape& shape, std::size_t offset = 0) {
    return counted([&] { multiply(shape, context, offset); }).heuristics;
  };
  EXPECT_EQ(heuristics({20, 8, 16}), 1);
  EXPECT_EQ(heuristics({20, 8, 16}), 0);
  EXPECT_EQ(heuristics({20, 8, 32}), 1);
  EXPECT_EQ(heuristics({20, 16, 16}), 1);
  EXPECT_EQ(heuristics({21, 8, 16}), 1);
  // Copied to an aligned address: the same product.
  EXPECT_EQ(heuristics({20, 8, 16}, 1), 0);
  EXPECT_EQ(heuristics({20, 8, 15}), 0);
  EXPECT_EQ(heuristics({20, 8, 16}), 0);
  const DeviceContext another;
  EXPECT_EQ(counted([&] { multiply({20, 8, 16}, another); }).heuristics, 1);
}

TEST_F(ProductPlans, OfFloatsAreOfAnAlignmentToo) {
  const DeviceContext context;
  const auto heuristics = [&](std::size_t offset) {
    return counted([&] {
             const ConstDeviceTensorView a(x_.as<char>() + offset, DType::kF32, Shape{4, 8});
             gemm(a, Transpose::kNo, a, Transpose::kYes,
                  {product_.as<void>(), DType::kF32, Shape{4, 4}}, context,
                  device_under_test().stream);
           })
        .heuristics;
  };
  EXPECT_EQ(heuristics(0), 1);
  EXPECT_EQ(heuristics(4), 1);
  EXPECT_EQ(heuristics(16), 0);
  EXPECT_EQ(heuristics(12), 0);
  EXPECT_EQ(heuristics(8), 1);
}

TEST_F(ProductPlans, OfIntegersAreTimedOnceAndOthersNever) {
  const DeviceContext context;
  static_cast<void>(counted([&] { multiply_floats(context); }));  // the context's memory
  const simt::Counters first = counted([&] { multiply({20, 8, 16}, context); });
  EXPECT_EQ(first.waits, 3);  // for each way
  EXPECT_EQ(first.launches, 3 * 4 + 1);
  EXPECT_EQ(first.allocations, 0);
  const simt::Counters again = counted([&] { multiply({20, 8, 16}, context); });
  EXPECT_EQ(again.waits, 0);
  EXPECT_EQ(again.launches, 1);
  const GemmShape wide{20, 16, 16};
  const DeviceContext as_told({.tunes_products = false});
  static_cast<void>(counted([&] { multiply_floats(as_told); }));
  EXPECT_EQ(counted([&] { multiply(wide, as_told); }).waits, 0);
  const DeviceContext fresh;
  EXPECT_EQ(counted([&] { multiply_floats(fresh); }).waits, 1);  // until its memory is there
}

TEST_F(ProductPlans, OfACaptureAreNotTimed) {
  const DeviceContext context;
  static_cast<void>(counted([&] { multiply_floats(context); }));
  simt::reset_counters();
  const CapturedGraph graph([&] { multiply({20, 8, 16}, context); }, device_under_test().stream);
  EXPECT_EQ(simt::counters().waits, 0);
  EXPECT_EQ(simt::counters().heuristics, 1);
  graph.run();
  EXPECT_EQ(counted([&] { multiply({20, 8, 16}, context); }).heuristics, 0);
}

/// 1024 of them, each apart: the ones that were used least recently.
TEST_F(ProductPlans, AreForgottenOneByOneWhereThereAreTooMany) {
  const DeviceContext context;
  const auto heuristics = [&](std::int64_t m) {
    return counted([&] {
             const auto view = [m](const Placed& memory, std::int64_t columns) {
               return DeviceTensorView(memory.as<void>(), DType::kF16, Shape{m, columns});
             };
             gemm(view(x_, 1), Transpose::kNo, {x_.as<void>(), DType::kF16, Shape{1, 1}},
                  Transpose::kNo, view(product_, 1), context, device_under_test().stream);
           })
        .heuristics;
  };
  for (std::int64_t m = 1; m <= 1024; ++m) ASSERT_EQ(heuristics(m), 1);
  EXPECT_EQ(heuristics(1), 0);
  EXPECT_EQ(heuristics(1025), 1);  // in the place of 2
  for (const std::int64_t m : {1, 3, 4, 512, 1024, 1025}) EXPECT_EQ(heuristics(m), 0) << m;
  EXPECT_EQ(heuristics(2), 1);  // in the place of 5
  EXPECT_EQ(heuristics(6), 0);
  EXPECT_EQ(heuristics(5), 1);
}

/// A way that has worked, and then fails.
TEST_F(ProductPlans, ThatFailAreForgotten) {
  const DeviceContext context({.tunes_products = false});
  const GemmShape shape{20, 8, 16};
  static_cast<void>(counted([&] { multiply(shape, context); }));
  const std::vector<std::byte> plans = save_product_plans(context);
  int num_failures = 0;
  for (int n = 1;; ++n) {
    ASSERT_LT(n, 50);
    simt::fail_call(n);
    bool is_of_the_way = false;
    try {
      multiply(shape, context);
    } catch (const CudaError& error) {
      is_of_the_way = std::string(error.what()).find("cublasLtMatmul") != std::string::npos;
      num_failures += is_of_the_way ? 1 : 0;
    }
    const bool pending = simt::failure_pending();
    simt::fail_call(0);
    EXPECT_EQ(save_product_plans(context) == plans, !is_of_the_way);
    EXPECT_EQ(counted([&] { multiply(shape, context); }).heuristics, is_of_the_way ? 1 : 0);
    EXPECT_EQ(save_product_plans(context), plans);
    if (pending) break;
  }
  EXPECT_EQ(num_failures, 1);
}

/// Of a context without a past: its memory, its handle, plan, trials and product.
TEST_F(ProductPlans, EveryCallOfAFirstProductMayFail) {
  multiply({20, 8, 16}, device_under_test().context);  // what is made once for a process
  const std::size_t memory = simt::leaked_allocations();
  const std::size_t handles = simt::leaked_handles();
  int num_failures = 0;
  for (int n = 1;; ++n) {
    ASSERT_LT(n, 200);
    bool pending = false;
    {
      std::optional<DeviceContext> context;
      context.emplace();
      simt::fail_call(n);
      try {
        multiply({21, 9, 17}, *context);
      } catch (const CudaError& error) {
        ++num_failures;
        EXPECT_FALSE(error.is_sticky());
        EXPECT_NE(std::string(error.what()).find(" in cuqat::int8_gemm ("), std::string::npos)
            << error.what();
      }
      pending = simt::failure_pending();
      simt::fail_call(0);
      EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
      // It still works.
      static_cast<void>(counted([&] { multiply({21, 9, 17}, *context); }));
    }
    EXPECT_EQ(simt::leaked_allocations(), memory);
    EXPECT_EQ(simt::leaked_handles(), handles);
    if (pending) break;
  }
  EXPECT_GT(num_failures, 15);
}

TEST_F(ProductPlans, MayBeSavedAndLoaded) {
  const DeviceContext context;
  static_cast<void>(counted([&] { multiply({20, 8, 16}, context); }));
  static_cast<void>(counted([&] { multiply_floats(context); }));
  const std::vector<std::byte> plans = save_product_plans(context);
  EXPECT_EQ(save_product_plans(context), plans);
  const DeviceContext another;
  load_product_plans(plans, another);
  load_product_plans(plans, another);
  EXPECT_EQ(save_product_plans(another), plans);
  const simt::Counters of_known = counted([&] { multiply({20, 8, 16}, another); });
  EXPECT_EQ(of_known.heuristics, 0);
  EXPECT_EQ(of_known.waits, 0);
  EXPECT_EQ(of_known.launches, 1);
  EXPECT_EQ(counted([&] { multiply_floats(another); }).heuristics, 0);
  EXPECT_EQ(counted([&] { multiply({20, 8, 32}, another); }).heuristics, 1);
  // With less memory those that take it are found anew.
  const DeviceContext small({.gemm_workspace_bytes = 0});
  load_product_plans(plans, small);
  EXPECT_EQ(counted([&] { multiply_floats(small); }).heuristics, 1);
}

TEST_F(ProductPlans, OfAnotherKindOrDamagedAreRefused) {
  const auto expect_refused = [](const std::vector<std::byte>& plans, const DeviceContext& context,
                                 const std::string& part) {
    const std::vector<std::byte> before = save_product_plans(context);
    try {
      load_product_plans(plans, context);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_EQ(save_product_plans(context), before);
  };
  const DeviceContext context;
  static_cast<void>(counted([&] { multiply({20, 8, 16}, context); }));
  const std::vector<std::byte> plans = save_product_plans(context);
  const DeviceContext another;
  for (std::size_t size = 0; size < plans.size(); ++size) {
    expect_refused({plans.begin(), plans.begin() + static_cast<std::ptrdiff_t>(size)}, another,
                   "saved plans");
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    std::vector<std::byte> damaged = plans;
    damaged[i] ^= std::byte{4};
    expect_refused(damaged, another, "saved plans");
  }
  simt::set_cublaslt_version(130'100);
  expect_refused(plans, another, "another version of cuBLASLt");
  simt::set_cublaslt_version(130'000);
  simt::set_compute_capability(100);
  const DeviceContext newer;
  simt::set_compute_capability(90);
  expect_refused(plans, newer, "another kind of device");
  EXPECT_NO_THROW(load_product_plans(plans, another));
}

TEST_F(ProductPlans, OfFp8AreRefusedOnOlderDevices) {
  simt::set_compute_capability(86);
  const DeviceContext context;
  simt::set_compute_capability(90);
  const Placed scale(std::vector<float>{1.0f});
  const DeviceQuantParams params{
      {Format::kE4M3}, {}, {scale.as<void>(), DType::kF32, Shape{1}}, {}};
  try {
    fp8_linear({x_.as<const std::uint8_t>(), 16}, params, {x_.as<const std::uint8_t>(), 16}, params,
               {1, 1, 16}, {}, {product_.as<void>(), DType::kF32, Shape{1, 1}}, context,
               device_under_test().stream);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const BackendUnavailable& error) {
    EXPECT_NE(std::string(error.what()).find("8.9 or more; that of the context has 8.6"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(ProductPlans, FitTheWorkspaceThatTheContextGives) {
  for (const std::size_t bytes : {0u, 1024u, 4096u}) {
    const DeviceContext context({.gemm_workspace_bytes = bytes});
    EXPECT_EQ(counted([&] { multiply({20, 8, 16}, context); }).heuristics, 1);
  }
}

}  // namespace
}  // namespace cuqat::test
