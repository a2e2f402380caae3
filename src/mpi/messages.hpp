// Messages of any length between the ranks of a communicator.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <span>
#include <vector>

namespace cuqat::mpi {

using Bytes = std::vector<std::byte>;

int rank_of(MPI_Comm communicator);
int size_of(MPI_Comm communicator);

/// @throws Error where the MPI library gives one, as do all of these.
void send(std::span<const std::byte> bytes, int to, MPI_Comm communicator);
Bytes receive(int from, MPI_Comm communicator);

/// Everybody gets what rank 0 has. Collective.
void broadcast(Bytes& bytes, MPI_Comm communicator);

/// What each rank has, in the order of the ranks, on rank 0; nothing on the others. Collective.
std::vector<Bytes> gather(std::span<const std::byte> mine, MPI_Comm communicator);

/// The same on every rank. Collective.
std::vector<Bytes> gather_everywhere(std::span<const std::byte> mine, MPI_Comm communicator);

}  // namespace cuqat::mpi
