// Calibration over the ranks of an MPI communicator: the component cuqat::mpi, built where there is
// an MPI library.
#pragma once

#include <mpi.h>

#include "cuqat/calibration.hpp"

namespace cuqat {

/// Every rank's collector becomes the merge of all, the same bytes on each and the same as one
/// process has that observed everything.
/// Order:  collective: all ranks of the communicator call it. Returns when done. Ranks may be in
///         one process each or in several threads, as the MPI library allows. Messages have the tag
///         0x6371: meanwhile no rank may have a receive of any source and tag pending on it.
/// Agrees: bit for bit, for every number of ranks and whichever rank observed what.
/// @throws InvalidArgument on every rank where dtype, granularity or channel counts differ, Error
///         on every rank where one cannot merge; collectors are then as they were. What the MPI
///         library does about its own errors is the communicator's error handler; where that
///         returns, Error.
void all_reduce(CalibrationCollector& collector, MPI_Comm communicator);

}  // namespace cuqat
