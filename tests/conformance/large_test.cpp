// More elements than an int counts: one small file mapped again and again is a large tensor.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "conformance/flat.hpp"

namespace cuqat::test {
namespace {

/// `bytes` of address space that repeat one file of kPeriod bytes.
class RepeatedMapping {
 public:
  static constexpr std::size_t kPeriod = std::size_t{1} << 25;

  explicit RepeatedMapping(std::size_t bytes) : bytes_((bytes + kPeriod - 1) / kPeriod * kPeriod) {
    file_ = memfd_create("cuqat_large_test", 0);
    if (file_ < 0 || ftruncate(file_, kPeriod) != 0) return;
    void* const space =
        mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) return;
    space_ = static_cast<std::byte*>(space);
    complete_ = true;
    for (std::size_t at = 0; at < bytes_; at += kPeriod) {
      complete_ = complete_ && mmap(space_ + at, kPeriod, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_FIXED, file_, 0) != MAP_FAILED;
    }
  }
  ~RepeatedMapping() {
    if (space_ != nullptr) munmap(space_, bytes_);
    if (file_ >= 0) close(file_);
  }
  RepeatedMapping(const RepeatedMapping&) = delete;
  RepeatedMapping& operator=(const RepeatedMapping&) = delete;

  [[nodiscard]] bool complete() const noexcept { return complete_; }
  [[nodiscard]] std::byte* data() noexcept { return space_; }

 private:
  std::size_t bytes_;
  int file_ = -1;
  std::byte* space_ = nullptr;
  bool complete_ = false;
};

constexpr std::int64_t kCount = (std::int64_t{1} << 31) + 17;
constexpr std::int64_t kPeriodElements = RepeatedMapping::kPeriod / 2;
/// Whole periods, and the elements after them.
constexpr std::int64_t kPeriods = kCount / kPeriodElements;
constexpr std::int64_t kRest = kCount % kPeriodElements;

/// One bf16 tensor for all tests: +1 but for four elements of each period.
class LargeTensor : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    mapping_ = new RepeatedMapping(static_cast<std::size_t>(kCount) * 2);
    if (!mapping_->complete()) return;
    std::vector<std::uint16_t> period(kPeriodElements, 0x3f80);
    period[0] = 0xc040;                    // -3
    period[5] = 0x7fc0;                    // NaN
    period[16] = 0x4000;                   // 2, within the rest
    period[kPeriodElements - 1] = 0x0000;  // 0
    std::memcpy(mapping_->data(), period.data(), RepeatedMapping::kPeriod);
  }
  static void TearDownTestSuite() {
    delete mapping_;
    mapping_ = nullptr;
  }
  void SetUp() override { ASSERT_TRUE(mapping_->complete()) << "no address space to map"; }

  static const std::byte* data() { return mapping_->data(); }

 private:
  static inline RepeatedMapping* mapping_ = nullptr;
};

static_assert(kRest == 17);

TEST_F(LargeTensor, HasEveryElementInItsStatistics) {
  detail::ScaledTensor tensor;
  tensor.dtype = DType::kBF16;
  tensor.shape = Shape{kCount};
  tensor.num_threads = 2;
  Statistics s;
  cpu::operations().statistics(tensor, data(), &s);
  EXPECT_EQ(s, (Statistics{kCount, kPeriods + 1, 0, 0, kPeriods, -3, 2}));
}

TEST_F(LargeTensor, HasEveryElementInItsKeyHistogram) {
  std::vector<std::uint64_t> counts(kNumKeys, 0);
  counts[0x3f80] = std::uint64_t{1} << 32;
  cpu::operations().accumulate_key_histogram(DType::kBF16, kCount, data(), counts.data(), 2);
  const auto periods = static_cast<std::uint64_t>(kPeriods);
  EXPECT_EQ(counts[0xc040], periods + 1);
  EXPECT_EQ(counts[0x7fc0], periods + 1);
  EXPECT_EQ(counts[0x4000], periods + 1);
  EXPECT_EQ(counts[0x0000], periods);
  EXPECT_EQ(counts[0x3f80] - (std::uint64_t{1} << 32),
            static_cast<std::uint64_t>(kCount) - 4 * periods - 3);
}

TEST_F(LargeTensor, HasOrderStatisticsPastTwoTo31) {
  const std::int64_t finite = kCount - kPeriods - 1;
  const std::vector<std::int64_t> ranks = {0,
                                           kPeriods,
                                           kPeriods + 1,
                                           2 * kPeriods,
                                           2 * kPeriods + 1,
                                           finite - kPeriods - 2,
                                           finite - kPeriods - 1,
                                           finite - 1};
  const ConstTensorView view(data(), DType::kBF16, Shape{kCount});
  std::vector<double> result(ranks.size());
  cpu::operations().order_statistics({&view, 1}, OrderBy::kValue, ranks, result.data(), 2);
  EXPECT_EQ(result, (std::vector<double>{-3, -3, 0, 0, 1, 1, 2, 2}));
}

}  // namespace
}  // namespace cuqat::test
