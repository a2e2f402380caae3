// all_reduce on every rank of mpirun: the collectors of one process that observed everything.
#include <gtest/gtest.h>
#include <mpi.h>

#include <string>
#include <vector>

#include "cuqat/mpi.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

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
