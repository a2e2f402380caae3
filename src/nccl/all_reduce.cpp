#include <cstddef>
#include <string>

#include "cuqat/error.hpp"
#include "cuqat/nccl.hpp"

namespace cuqat {
namespace {

void check(ncclResult_t status, const char* call) {
  // Of a communicator that does not block: the work is under way.
  if (status == ncclSuccess || status == ncclInProgress) return;
  throw Error(std::string(call) + ": " + ncclGetErrorString(status));
}

/// Reductions that NCCL is given together. An error within leaves no group open.
class Group {
 public:
  Group() { check(ncclGroupStart(), "ncclGroupStart"); }
  ~Group() {
    if (is_open_) static_cast<void>(ncclGroupEnd());
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  void end() {
    is_open_ = false;
    check(ncclGroupEnd(), "ncclGroupEnd");
  }

 private:
  bool is_open_ = true;
};

}  // namespace

void all_reduce(DeviceCalibrationCollector& collector, ncclComm_t communicator, StreamRef stream) {
  const auto reduce = [&](void* data, std::int64_t count, ncclDataType_t type, ncclRedOp_t how) {
    check(ncclAllReduce(data, data, static_cast<std::size_t>(count), type, how, communicator,
                        stream.get()),
          "ncclAllReduce");
  };
  const DeviceSpan<std::uint64_t> counts = collector.counts();
  Group group;
  reduce(counts.data(), counts.size(), ncclUint64, ncclSum);
  if (Statistics* const statistics = collector.statistics().data()) {
    // Five counts, then the extremes, which are neither NaN nor -0: the least and the greatest do
    // not depend on the order.
    constexpr std::int64_t kNumCounts = 5;
    static_assert(offsetof(Statistics, min) == kNumCounts * sizeof(std::int64_t));
    reduce(&statistics->count, kNumCounts, ncclInt64, ncclSum);
    reduce(&statistics->min, 1, ncclFloat64, ncclMin);
    reduce(&statistics->max, 1, ncclFloat64, ncclMax);
  }
  group.end();
}

}  // namespace cuqat
