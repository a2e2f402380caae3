#include <string>

#include "cuqat/error.hpp"
#include "cuqat/nccl.hpp"

namespace cuqat {

void all_reduce(DeviceCalibrationCollector& collector, ncclComm_t communicator, StreamRef stream) {
  if (collector.dtype() == DType::kF32) {
    throw InvalidArgument(
        "collector has dtype F32, whose statistics are apart from the counts: it "
        "must have F16 or BF16");
  }
  const DeviceSpan<std::uint64_t> counts = collector.counts();
  const ncclResult_t status =
      ncclAllReduce(counts.data(), counts.data(), static_cast<std::size_t>(counts.size()),
                    ncclUint64, ncclSum, communicator, stream.get());
  // Of a communicator that does not block: the work is under way.
  if (status == ncclSuccess || status == ncclInProgress) return;
  throw Error(std::string("ncclAllReduce: ") + ncclGetErrorString(status));
}

}  // namespace cuqat
