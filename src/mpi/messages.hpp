// Messages of any length between the ranks of a communicator. A rank that has no memory for one
// says so to those who wait for it: none waits in vain.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "cuqat/error.hpp"

namespace cuqat::mpi {

using Bytes = std::vector<std::byte>;

/// Of one rank or another.
class OutOfMemory : public Error {
 public:
  OutOfMemory() : Error("a rank ran out of memory") {}
};

int rank_of(MPI_Comm communicator);
int size_of(MPI_Comm communicator);

/// False where the other has no memory for it.
/// @throws Error where the MPI library gives one, as do all of these.
[[nodiscard]] bool send(std::span<const std::byte> bytes, int to, MPI_Comm communicator);
/// Nothing where there is no memory for it.
[[nodiscard]] std::optional<Bytes> receive(int from, MPI_Comm communicator);

/// Whether all ranks say so. Collective.
[[nodiscard]] bool all_of(bool mine, MPI_Comm communicator);

/// Everybody gets what rank 0 has. Collective.
/// @throws OutOfMemory on every rank where one has no memory for it.
void broadcast(Bytes& bytes, MPI_Comm communicator);

/// What each rank has, in the order of the ranks, on rank 0; nothing on the others. Collective.
/// @throws OutOfMemory on every rank where rank 0 has no memory for it.
std::vector<Bytes> gather(std::span<const std::byte> mine, MPI_Comm communicator);

/// The same on every rank. Collective.
/// @throws OutOfMemory on every rank where one has no memory for it.
std::vector<Bytes> gather_everywhere(std::span<const std::byte> mine, MPI_Comm communicator);

}  // namespace cuqat::mpi
