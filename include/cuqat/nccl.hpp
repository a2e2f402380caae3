// Calibration over several GPUs and machines by NCCL: the component cuqat::nccl, built where there
// are CUDA and NCCL.
#pragma once

#include <nccl.h>

#include "cuqat/device_calibration.hpp"
#include "cuqat/stream.hpp"

namespace cuqat {

/// Every rank's collector becomes the sum of all: the same on each, and as one collector that has
/// observed everything. The collector's device is the communicator's.
/// Order:  on the stream, once all ranks of the communicator have called it (several ranks of one
///         thread between ncclGroupStart and ncclGroupEnd). It does not wait or allocate, and can
///         be captured in a CUDA graph as far as NCCL can.
/// Agrees: bit for bit, for every number of ranks and whichever rank observed what.
/// @throws Error where NCCL gives an error: what the collector has observed is then undefined,
///         until reset(). Ranks whose collectors have different dtypes are not told apart: with
///         f32 among them they may wait for ever.
void all_reduce(DeviceCalibrationCollector& collector, ncclComm_t communicator, StreamRef stream);

}  // namespace cuqat
