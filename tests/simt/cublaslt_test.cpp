// The executor's cuBLASLt: its products, and that it refuses what the real one refuses.
#include <cublasLt.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "simt/test_support.hpp"

namespace simt::test {
namespace {

/// A product of column-major matrices, D = op(A) op(B), with changes that a test makes to it.
struct Product {
  cudaDataType_t a_type = CUDA_R_8I;
  cudaDataType_t b_type = CUDA_R_8I;
  cudaDataType_t d_type = CUDA_R_32I;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32I;
  cudaDataType_t scale = CUDA_R_32I;
  cublasOperation_t transpose_a = CUBLAS_OP_T;
  cublasOperation_t transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::uint64_t m = 16;
  std::uint64_t n = 32;
  std::uint64_t k = 32;
  std::int64_t a_stride = 32;
  std::int64_t b_stride = 32;
  std::int64_t d_stride = 16;
  std::uint64_t k_of_b = 32;
  std::uint32_t alignment = 16;    ///< That the algorithm is asked for, of A, B and D,
  std::uint32_t c_alignment = 16;  ///< and of C.
  std::uint64_t workspace_bytes = 4096;
  std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
};

Product fp8() {
  Product product;
  product.a_type = CUDA_R_8F_E4M3;
  product.b_type = CUDA_R_8F_E5M2;
  product.d_type = CUDA_R_32F;
  product.compute = CUBLAS_COMPUTE_32F;
  product.scale = CUDA_R_32F;
  return product;
}

Product floats(cudaDataType_t type) {
  Product product = fp8();
  product.a_type = product.b_type = type;
  product.d_type = type;
  product.alignment = product.c_alignment = type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
  return product;
}

/// Bytes past aligned addresses, and the workspace that is given.
struct Where {
  std::size_t a = 0;
  std::size_t b = 0;
  std::size_t d = 0;
  std::size_t workspace_bytes = 4096;
};

class CublasLt : public ExecutorTest {
 protected:
  /// What cuBLASLt has made of a Product.
  struct Made {
    explicit Made(const Product& product) {
      const auto& p = product;
      EXPECT_EQ(cublasLtMatmulDescCreate(&operation, p.compute, p.scale), CUBLAS_STATUS_SUCCESS);
      const auto set = [&](cublasLtMatmulDescAttributes_t which, const auto& value) {
        EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation, which, &value, sizeof(value)),
                  CUBLAS_STATUS_SUCCESS);
      };
      set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a);
      set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
      const auto layout = [](cublasLtMatrixLayout_t& made, cudaDataType_t type, std::uint64_t rows,
                             std::uint64_t columns, std::int64_t stride) {
        EXPECT_EQ(cublasLtMatrixLayoutCreate(&made, type, rows, columns, stride),
                  CUBLAS_STATUS_SUCCESS);
      };
      const bool a_plain = p.transpose_a == CUBLAS_OP_N;
      const bool b_plain = p.transpose_b == CUBLAS_OP_N;
      layout(a, p.a_type, a_plain ? p.m : p.k, a_plain ? p.k : p.m, p.a_stride);
      layout(b, p.b_type, b_plain ? p.k_of_b : p.n, b_plain ? p.n : p.k_of_b, p.b_stride);
      layout(d, p.d_type, p.m, p.n, p.d_stride);
      EXPECT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
      const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
        EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, which, &value, sizeof(value)),
                  CUBLAS_STATUS_SUCCESS);
      };
      prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, p.workspace_bytes);
      prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, p.schemes);
      for (const auto which :
           {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
        prefer(which, p.alignment);
      }
      if (p.c_alignment != 256) prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.c_alignment);
      EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    }
    ~Made() {
      cublasLtMatmulDescDestroy(operation);
      for (const auto layout : {a, b, d}) cublasLtMatrixLayoutDestroy(layout);
      cublasLtMatmulPreferenceDestroy(preference);
      cublasLtDestroy(handle);
    }
    Made(const Made&) = delete;
    Made& operator=(const Made&) = delete;

    cublasStatus_t ask(std::vector<cublasLtMatmulHeuristicResult_t>& results) const {
      results.resize(8);
      int count = 0;
      const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
          handle, operation, a, b, d, d, preference, 8, results.data(), &count);
      results.resize(static_cast<std::size_t>(count));
      return status;
    }

    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr;
    cublasLtMatrixLayout_t b = nullptr;
    cublasLtMatrixLayout_t d = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
  };

  cublasStatus_t multiply(const Made& made, const cublasLtMatmulAlgo_t& algo, const Where& where) {
    const std::int32_t whole[] = {1, 0};
    const float single[] = {1.0f, 0.0f};
    const double wide[] = {1.0, 0.0};
    const auto run = [&](const auto& numbers) {
      return cublasLtMatmul(made.handle, made.operation, &numbers[0], a_.get() + where.a, made.a,
                            b_.get() + where.b, made.b, &numbers[1], d_.get() + where.d, made.d,
                            d_.get() + where.d, made.d, &algo, workspace_.get(),
                            where.workspace_bytes, stream_);
    };
    if (product_.scale == CUDA_R_32I) return run(whole);
    return product_.scale == CUDA_R_64F ? run(wide) : run(single);
  }

  /// The status of the product, or that of the question for an algorithm where that is an error.
  cublasStatus_t status_of(const Product& product, const Where& where = {}) {
    product_ = product;
    const Made made(product);
    std::vector<cublasLtMatmulHeuristicResult_t> results;
    const cublasStatus_t status = made.ask(results);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    EXPECT_FALSE(results.empty());
    return multiply(made, results.front().algo, where);
  }

  Product product_;
  DeviceArray<char> a_{8192, 1};
  DeviceArray<char> b_{8192, 1};
  DeviceArray<char> d_{8192, 0x55};
  DeviceArray<char> workspace_{4096, 0};
};

constexpr auto kFits = CUBLAS_STATUS_SUCCESS;
constexpr auto kRefused = CUBLAS_STATUS_NOT_SUPPORTED;
constexpr auto kWrong = CUBLAS_STATUS_INVALID_VALUE;

TEST_F(CublasLt, MultipliesByEveryAlgorithm) {
  const Made made(Product{});
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ASSERT_EQ(made.ask(results), kFits);
  ASSERT_EQ(results.size(), 3u);
  for (const auto& result : results) {
    reset_counters();
    ASSERT_EQ(multiply(made, result.algo, {}), kFits);
    EXPECT_EQ(counters().launches, 1);
    ASSERT_EQ(wait(), cudaSuccess);
    const std::vector<char> bytes = d_.content();
    std::vector<std::int32_t> numbers(512);
    std::memcpy(numbers.data(), bytes.data(), 2048);
    EXPECT_EQ(numbers, std::vector<std::int32_t>(512, 32));
    EXPECT_EQ(bytes[2048], 0x55);
    // It is used, and nothing is left there.
    const std::vector<char> workspace = workspace_.content();
    for (std::size_t i = 0; i < result.workspaceSize; ++i) {
      ASSERT_EQ(static_cast<unsigned char>(workspace[i]), 0xa5u);
    }
  }
}

TEST_F(CublasLt, RefusesInt8ThatIsNotTn) {
  Product product;
  EXPECT_EQ(status_of(product), kFits);
  product.transpose_a = CUBLAS_OP_N;
  EXPECT_EQ(status_of(product), kRefused);
  product = {};
  product.transpose_b = CUBLAS_OP_T;
  EXPECT_EQ(status_of(product), kRefused);
}

TEST_F(CublasLt, RefusesInt8ThatIsNoMultipleOfFour) {
  const std::function<void(Product&)> changes[] = {
      [](Product& p) { p.m = 14; }, [](Product& p) { p.k = p.k_of_b = 30; },
      [](Product& p) { p.a_stride = 34; }, [](Product& p) { p.b_stride = 33; },
      [](Product& p) { p.d_stride = 18; }};
  for (const auto& change : changes) {
    Product product;
    change(product);
    EXPECT_EQ(status_of(product), kRefused) << &change - changes;
  }
  Product product;
  product.n = 17;
  product.m = 12;
  product.k = product.k_of_b = 28;
  product.d_stride = 20;
  EXPECT_EQ(status_of(product), kFits);
}

TEST_F(CublasLt, RefusesInt8OfFewColumns) {
  Product product;
  product.n = 16;
  EXPECT_EQ(status_of(product), kRefused);
  product.n = 17;
  EXPECT_EQ(status_of(product), kFits);
}

TEST_F(CublasLt, RefusesEpiloguesAndOtherTypesOfInt8) {
  Product product;
  product.epilogue = CUBLASLT_EPILOGUE_BIAS;
  EXPECT_EQ(status_of(product), kRefused);
  product = {};
  product.d_type = CUDA_R_32F;
  EXPECT_EQ(status_of(product), kRefused);
  product = {};
  product.scale = CUDA_R_32F;
  EXPECT_EQ(status_of(product), kRefused);
  product = {};
  product.b_type = CUDA_R_8F_E4M3;
  EXPECT_EQ(status_of(product), kRefused);
}

TEST_F(CublasLt, RefusesFp8ThatItHasNoKernelFor) {
  EXPECT_EQ(status_of(fp8()), kFits);
  const std::function<void(Product&)> changes[] = {[](Product& p) { p.transpose_a = CUBLAS_OP_N; },
                                                   [](Product& p) { p.transpose_b = CUBLAS_OP_T; },
                                                   [](Product& p) { p.a_type = CUDA_R_8F_E5M2; },
                                                   [](Product& p) { p.d_type = CUDA_R_64F; },
                                                   [](Product& p) { p.m = 8; },
                                                   [](Product& p) { p.n = 8; },
                                                   [](Product& p) { p.k = p.k_of_b = 24; },
                                                   [](Product& p) { p.a_stride = 40; },
                                                   [](Product& p) { p.b_stride = 40; },
                                                   [](Product& p) { p.d_stride = 18; }};
  for (const auto& change : changes) {
    Product product = fp8();
    change(product);
    EXPECT_EQ(status_of(product), kRefused) << &change - changes;
  }
  set_compute_capability(80);
  EXPECT_EQ(status_of(fp8()), kRefused);
  set_compute_capability(89);
  EXPECT_EQ(status_of(fp8()), kFits);
  set_compute_capability(90);
}

TEST_F(CublasLt, RefusesFloatsThatDoNotGoTogether) {
  for (const auto type : {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF}) {
    EXPECT_EQ(status_of(floats(type)), kFits);
  }
  Product product = floats(CUDA_R_64F);
  EXPECT_EQ(status_of(product), kRefused);
  product.compute = CUBLAS_COMPUTE_64F;
  product.scale = CUDA_R_64F;
  EXPECT_EQ(status_of(product), kFits);
  product = floats(CUDA_R_16F);
  product.b_type = CUDA_R_16BF;
  EXPECT_EQ(status_of(product), kRefused);
  product = floats(CUDA_R_32F);
  product.d_type = CUDA_R_16F;
  EXPECT_EQ(status_of(product), kRefused);
}

/// Of 512 products of 1, which bf16 counts to 256.
TEST_F(CublasLt, RoundsSumsWhereThatIsNotRuledOut) {
  const std::vector<std::uint16_t> ones(512, 0x3f80);
  for (const DeviceArray<char>* const operand : {&a_, &b_}) {
    ASSERT_EQ(cudaMemcpy(operand->get(), ones.data(), 1024, cudaMemcpyHostToDevice), cudaSuccess);
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  Product product = floats(CUDA_R_16BF);
  product.m = product.n = 1;
  product.k = product.k_of_b = 512;
  product.a_stride = product.b_stride = 512;
  const auto sum = [&](std::uint32_t schemes) {
    product.schemes = schemes;
    EXPECT_EQ(status_of(product), kFits);
    EXPECT_EQ(wait(), cudaSuccess);
    const std::vector<char> bytes = d_.content();
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data(), sizeof(bits));
    return bits;
  };
  EXPECT_EQ(sum(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE), 0x4400);
  EXPECT_EQ(sum(CUBLASLT_REDUCTION_SCHEME_INPLACE), 0x4380);
  EXPECT_EQ(sum(CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE), 0x4380);
}

TEST_F(CublasLt, ShortensF32WhereThatIsAskedFor) {
  const float longer = 1.0f + 0x1p-20f;
  const float one = 1.0f;
  ASSERT_EQ(cudaMemcpy(a_.get(), &longer, 4, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(b_.get(), &one, 4, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  Product product = floats(CUDA_R_32F);
  product.m = product.n = product.k = product.k_of_b = 1;
  const auto number = [&](cublasComputeType_t compute) {
    product.compute = compute;
    EXPECT_EQ(status_of(product), kFits);
    EXPECT_EQ(wait(), cudaSuccess);
    const std::vector<char> bytes = d_.content();
    float value = 0.0f;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  };
  EXPECT_EQ(number(CUBLAS_COMPUTE_32F), longer);
  EXPECT_EQ(number(CUBLAS_COMPUTE_32F_FAST_TF32), one);
}

TEST_F(CublasLt, SaysThatExtentsDoNotFit) {
  Product product;
  product.k_of_b = 16;
  EXPECT_EQ(status_of(product), kWrong);
  product = {};
  product.a_stride = 16;
  EXPECT_EQ(status_of(product), kWrong);
  product = floats(CUDA_R_32F);
  product.m = 0;
  EXPECT_EQ(status_of(product), kWrong);
}

TEST_F(CublasLt, SaysThatAddressesAreNotAligned) {
  Product product;
  EXPECT_EQ(status_of(product, {.a = 4}), kWrong);  // an algorithm for 16 was asked for
  product.alignment = product.c_alignment = 4;
  EXPECT_EQ(status_of(product, {.a = 4, .b = 8, .d = 4}), kFits);
  EXPECT_EQ(status_of(product, {.a = 2}), kWrong);
  EXPECT_EQ(status_of(product, {.b = 1}), kWrong);
  EXPECT_EQ(status_of(product, {.d = 2}), kWrong);
  product = fp8();
  EXPECT_EQ(status_of(product, {.a = 8}), kWrong);
  EXPECT_EQ(status_of(product, {.b = 8}), kWrong);
  product = floats(CUDA_R_32F);
  product.alignment = product.c_alignment = 4;
  EXPECT_EQ(status_of(product, {.d = 2}), kWrong);
  EXPECT_EQ(status_of(product, {.d = 4}), kFits);
  // C is D, and what was not said of it is 256.
  product.c_alignment = 256;
  EXPECT_EQ(status_of(product, {.d = 4}), kWrong);
  EXPECT_EQ(status_of(product, {.d = 256}), kFits);
}

TEST_F(CublasLt, HasNoAlgorithmForLessThanTheTypesAlignment) {
  for (const auto& [type, enough] : {std::pair(CUDA_R_8I, 4u), std::pair(CUDA_R_8F_E4M3, 16u),
                                     std::pair(CUDA_R_16BF, 2u), std::pair(CUDA_R_32F, 4u)}) {
    Product product = type == CUDA_R_8I ? Product{} : type == CUDA_R_8F_E4M3 ? fp8() : floats(type);
    product.alignment = product.c_alignment = enough;
    EXPECT_EQ(status_of(product), kFits);
    product.alignment = enough / 2;
    EXPECT_EQ(status_of(product), kRefused);
    product.alignment = enough;
    product.c_alignment = 1;
    EXPECT_EQ(status_of(product), kRefused);
  }
}

TEST_F(CublasLt, SaysThatAttributesAreNone) {
  const Made made(Product{});
  const auto set = [&](cublasLtMatmulDescAttributes_t which, const auto& value) {
    return cublasLtMatmulDescSetAttribute(made.operation, which, &value, sizeof(value));
  };
  EXPECT_EQ(set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t{7}), kWrong);
  EXPECT_EQ(set(CUBLASLT_MATMUL_DESC_TRANSB, std::int64_t{0}), kWrong);
  EXPECT_EQ(set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{3}), kWrong);
  EXPECT_EQ(set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{1}), kFits);
  const std::uint64_t wide = 16;
  EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(
                made.preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &wide, sizeof(wide)),
            kWrong);
}

TEST_F(CublasLt, SaysThatMemoryIsMissing) {
  EXPECT_EQ(status_of({}, {.workspace_bytes = 512}), kWrong);
  EXPECT_EQ(status_of({}, {.workspace_bytes = 1024}), kFits);
  EXPECT_EQ(status_of({}, {.workspace_bytes = 4097}), kWrong);  // more than there is
  EXPECT_EQ(status_of({}, {.a = 8192 - 496}), kWrong);          // 16 bytes past its end
  Product product;
  product.workspace_bytes = 1000;
  const Made made(product);
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ASSERT_EQ(made.ask(results), kFits);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].workspaceSize, 0u);
}

TEST_F(CublasLt, TakesNoAlgorithmOfAnotherProduct) {
  Product product;
  product.m = 12;
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ASSERT_EQ(Made(product).ask(results), kFits);
  const Made made(Product{});
  EXPECT_EQ(multiply(made, results.front().algo, {}), kWrong);
}

TEST_F(CublasLt, MultipliesInTheOrderOfTheStreamAndInGraphs) {
  const Made made(Product{});
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ASSERT_EQ(made.ask(results), kFits);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(a_.get(), 2, 8192, stream_), cudaSuccess);
  ASSERT_EQ(multiply(made, results.front().algo, {}), kFits);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(d_.content()[0], 0x55);
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  ASSERT_EQ(wait(), cudaSuccess);
  EXPECT_EQ(d_.content()[0], 64);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(CublasLt, FailsWhereATestAsksForIt) {
  fail_call(1);
  cublasLtHandle_t handle = nullptr;
  EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_ALLOC_FAILED);
  const Made made(Product{});
  std::vector<cublasLtMatmulHeuristicResult_t> results;
  ASSERT_EQ(made.ask(results), kFits);
  fail_call(1);
  EXPECT_EQ(multiply(made, results.front().algo, {}), CUBLAS_STATUS_EXECUTION_FAILED);
  fail_call(1);
  EXPECT_EQ(made.ask(results), CUBLAS_STATUS_ALLOC_FAILED);
}

}  // namespace
}  // namespace simt::test
