// all_reduce on every rank of mpirun: the collectors of one process that observed everything.
#include <gtest/gtest.h>
#include <mpi.h>
#include <sys/resource.h>

#include <cstdint>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "cuqat/mpi.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

int rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}
int size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

/// Batch i, the same on every rank.
Bytes batch(DType dtype, int i) {
  Random random(static_cast<std::uint64_t>(i) + 1);
  std::vector<double> values(60);
  for (double& value : values) value = (i + 1) * random.normal();
  return to_bytes(dtype, values);
}

void observe(CalibrationCollector& collector, int i) {
  const Bytes bytes = batch(collector.dtype(), i);
  collector.observe({bytes.data(), collector.dtype(), Shape{12, 5}});
}

TEST(AllReduce, GivesEveryRankTheWhole) {
  constexpr int kBatches = 7;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    for (const Granularity& granularity :
         {Granularity::tensor(), Granularity::channel(1), Granularity::channel(-1)}) {
      CalibrationCollector mine(dtype, granularity);
      CalibrationCollector whole(dtype, granularity);
      for (int i = 0; i < kBatches; ++i) {
        // The last rank observes nothing where there are several.
        if (i % std::max(size() - 1, 1) == rank()) observe(mine, i);
        observe(whole, i);
      }
      all_reduce(mine, MPI_COMM_WORLD);
      EXPECT_EQ(mine.save(), whole.save()) << to_string(dtype) << ", rank " << rank();
      // Again it is the sum of all wholes.
      all_reduce(mine, MPI_COMM_WORLD);
      EXPECT_EQ(mine.statistics().count, size() * whole.statistics().count);
    }
  }
}

/// So much more memory, until the end of the scope.
class LittleMemory {
 public:
  explicit LittleMemory(std::uint64_t more) {
    EXPECT_EQ(getrlimit(RLIMIT_DATA, &before_), 0);
    std::ifstream status("/proc/self/status");
    std::uint64_t now = 0;
    for (std::string word; status >> word;) {
      if (word == "VmData:") status >> now;
    }
    rlimit limit = before_;
    limit.rlim_cur = now * 1024 + more;
    EXPECT_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
  }
  ~LittleMemory() { EXPECT_EQ(setrlimit(RLIMIT_DATA, &before_), 0); }
  LittleMemory(const LittleMemory&) = delete;
  LittleMemory& operator=(const LittleMemory&) = delete;

 private:
  rlimit before_{};
};

/// Whichever rank it is: no other waits for it, all know of it, and have what they had.
TEST(AllReduce, IsRefusedByAllWhereOneHasNoMemory) {
  if (size() == 1) GTEST_SKIP() << "of one rank nothing is received";
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory counts too";
  Random random(static_cast<std::uint64_t>(rank()) + 77);
  std::vector<float> values(1 << 19);
  for (float& value : values) value = static_cast<float>(random.normal());
  CalibrationCollector mine(DType::kF32);
  mine.observe(values);
  const std::vector<std::byte> before = mine.save();
  int num_refused = 0;
  for (int poor = 0; poor < size(); ++poor) {
    for (const std::uint64_t more : {0u, 1u << 20, 6u << 20, 14u << 20}) {
      CalibrationCollector sum = mine;
      int refused = 0;
      {
        std::optional<LittleMemory> little;
        if (rank() == poor) little.emplace(more);
        try {
          all_reduce(sum, MPI_COMM_WORLD);
        } catch (const std::exception&) {
          refused = 1;
        }
      }
      int refused_by = 0;
      MPI_Allreduce(&refused, &refused_by, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
      EXPECT_TRUE(refused_by == 0 || refused_by == size())
          << refused_by << " ranks of " << size() << " where rank " << poor << " has " << more;
      EXPECT_TRUE(refused == 0 || sum.save() == before);
      num_refused += refused;
    }
  }
  EXPECT_GT(num_refused, 0);
  all_reduce(mine, MPI_COMM_WORLD);
  EXPECT_EQ(mine.statistics().count, size() * std::int64_t{1 << 19});
}

TEST(AllReduce, OfNothingIsNothing) {
  CalibrationCollector collector(DType::kF32);
  all_reduce(collector, MPI_COMM_WORLD);
  EXPECT_EQ(collector.save(), CalibrationCollector(DType::kF32).save());
}

template <typename Collector>
void expect_refused(Collector& collector, const std::string& part) {
  const auto before = collector.save();
  try {
    all_reduce(collector, MPI_COMM_WORLD);
    ADD_FAILURE() << "rank " << rank() << " was not refused";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
  EXPECT_EQ(collector.save(), before);
}

TEST(AllReduce, RefusesOnEveryRankWhatDoesNotFitTogether) {
  if (size() == 1) return;  // nobody to differ from
  const bool is_last = rank() == size() - 1;
  CalibrationCollector other_dtype(is_last ? DType::kF16 : DType::kBF16);
  expect_refused(other_dtype, "is of F16, that of rank 0 of BF16");
  CalibrationCollector other_axis(DType::kF32, Granularity::channel(is_last ? 0 : 1));
  expect_refused(other_axis, "another granularity");
  CalibrationCollector other_channels(DType::kF32, Granularity::channel(1));
  const std::vector<float> values(12, 1.0f);
  other_channels.observe({values.data(), is_last ? Shape{3, 4} : Shape{4, 3}});
  expect_refused(other_channels, "has 4 channels, that of rank 0 has 3");
}

}  // namespace
}  // namespace cuqat::test

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  MPI_Finalize();
  return failed;
}
