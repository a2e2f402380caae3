#include "mpi/messages.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "cuqat/error.hpp"

namespace cuqat::mpi {
namespace {

constexpr int kTag = 0x6371;
/// MPI counts with int.
constexpr std::size_t kMaxPart = std::size_t{1} << 30;

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw Error(std::string(call) + ": " +
              std::string(text.data(), static_cast<std::size_t>(length)));
}

/// body(part) for parts that MPI can count, in order.
template <typename Byte, typename Body>
void for_each_part(std::span<Byte> bytes, const Body& body) {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kMaxPart) {
    body(bytes.subspan(begin, std::min(kMaxPart, bytes.size() - begin)));
  }
}

std::uint64_t take_length(const std::byte*& from) {
  std::uint64_t length = 0;
  std::memcpy(&length, from, sizeof(length));
  from += sizeof(length);
  return length;
}

void put_length(Bytes& to, std::uint64_t length) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&length);
  to.insert(to.end(), bytes, bytes + sizeof(length));
}

/// Of so many bytes, or nothing where there is no memory for it.
std::optional<Bytes> allocate(std::uint64_t length) {
  try {
    return Bytes(static_cast<std::size_t>(length));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return std::nullopt;
  }
}

/// The parts one after the other, each with its length, or nothing where there is no memory for it.
std::optional<Bytes> join(const std::vector<Bytes>& parts) {
  try {
    Bytes joined;
    for (const Bytes& part : parts) {
      put_length(joined, part.size());
      joined.insert(joined.end(), part.begin(), part.end());
    }
    return joined;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

int rank_of(MPI_Comm communicator) {
  int rank = 0;
  check(MPI_Comm_rank(communicator, &rank), "MPI_Comm_rank");
  return rank;
}

int size_of(MPI_Comm communicator) {
  int size = 0;
  check(MPI_Comm_size(communicator, &size), "MPI_Comm_size");
  return size;
}

bool send(std::span<const std::byte> bytes, int to, MPI_Comm communicator) {
  const std::uint64_t length = bytes.size();
  check(MPI_Send(&length, 1, MPI_UINT64_T, to, kTag, communicator), "MPI_Send");
  int has_memory = 0;
  check(MPI_Recv(&has_memory, 1, MPI_INT, to, kTag, communicator, MPI_STATUS_IGNORE), "MPI_Recv");
  if (has_memory == 0) return false;
  for_each_part(bytes, [&](std::span<const std::byte> part) {
    check(MPI_Send(part.data(), static_cast<int>(part.size()), MPI_BYTE, to, kTag, communicator),
          "MPI_Send");
  });
  return true;
}

std::optional<Bytes> receive(int from, MPI_Comm communicator) {
  std::uint64_t length = 0;
  check(MPI_Recv(&length, 1, MPI_UINT64_T, from, kTag, communicator, MPI_STATUS_IGNORE),
        "MPI_Recv");
  std::optional<Bytes> bytes = allocate(length);
  const int has_memory = bytes ? 1 : 0;
  check(MPI_Send(&has_memory, 1, MPI_INT, from, kTag, communicator), "MPI_Send");
  if (!bytes) return bytes;
  for_each_part(std::span(*bytes), [&](std::span<std::byte> part) {
    check(MPI_Recv(part.data(), static_cast<int>(part.size()), MPI_BYTE, from, kTag, communicator,
                   MPI_STATUS_IGNORE),
          "MPI_Recv");
  });
  return bytes;
}

bool all_of(bool mine, MPI_Comm communicator) {
  int all = mine ? 1 : 0;
  check(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, communicator), "MPI_Allreduce");
  return all != 0;
}

void broadcast(Bytes& bytes, MPI_Comm communicator) {
  std::uint64_t length = bytes.size();
  check(MPI_Bcast(&length, 1, MPI_UINT64_T, 0, communicator), "MPI_Bcast");
  std::optional<Bytes> received;
  const bool is_first = rank_of(communicator) == 0;
  if (!is_first) received = allocate(length);
  if (!all_of(is_first || received.has_value(), communicator)) throw OutOfMemory();
  if (received) bytes = std::move(*received);
  for_each_part(std::span(bytes), [&](std::span<std::byte> part) {
    check(MPI_Bcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, communicator),
          "MPI_Bcast");
  });
}

std::vector<Bytes> gather(std::span<const std::byte> mine, MPI_Comm communicator) {
  std::vector<Bytes> all;
  bool has_memory = true;
  if (rank_of(communicator) != 0) {
    has_memory = send(mine, 0, communicator);
  } else {
    all.resize(static_cast<std::size_t>(size_of(communicator)));
    std::optional<Bytes> own = allocate(mine.size());
    for (int rank = 1; rank < size_of(communicator); ++rank) {
      std::optional<Bytes> part = receive(rank, communicator);
      has_memory = has_memory && part.has_value();
      if (part) all[static_cast<std::size_t>(rank)] = std::move(*part);
    }
    has_memory = has_memory && own.has_value();
    if (own) std::ranges::copy(mine, own->begin());
    if (own) all.front() = std::move(*own);
  }
  // A sender knows of itself only.
  if (!all_of(has_memory, communicator)) throw OutOfMemory();
  return all;
}

std::vector<Bytes> gather_everywhere(std::span<const std::byte> mine, MPI_Comm communicator) {
  std::optional<Bytes> all_joined = join(gather(mine, communicator));
  if (!all_of(all_joined.has_value(), communicator)) throw OutOfMemory();
  Bytes joined = std::move(*all_joined);
  broadcast(joined, communicator);
  std::vector<Bytes> all;
  const std::byte* from = joined.data();
  for (int rank = 0; rank < size_of(communicator); ++rank) {
    const std::uint64_t length = take_length(from);
    all.emplace_back(from, from + length);
    from += length;
  }
  return all;
}

}  // namespace cuqat::mpi
