#include "mpi/messages.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>

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

void send(std::span<const std::byte> bytes, int to, MPI_Comm communicator) {
  const std::uint64_t length = bytes.size();
  check(MPI_Send(&length, 1, MPI_UINT64_T, to, kTag, communicator), "MPI_Send");
  for_each_part(bytes, [&](std::span<const std::byte> part) {
    check(MPI_Send(part.data(), static_cast<int>(part.size()), MPI_BYTE, to, kTag, communicator),
          "MPI_Send");
  });
}

Bytes receive(int from, MPI_Comm communicator) {
  std::uint64_t length = 0;
  check(MPI_Recv(&length, 1, MPI_UINT64_T, from, kTag, communicator, MPI_STATUS_IGNORE),
        "MPI_Recv");
  Bytes bytes(static_cast<std::size_t>(length));
  for_each_part(std::span(bytes), [&](std::span<std::byte> part) {
    check(MPI_Recv(part.data(), static_cast<int>(part.size()), MPI_BYTE, from, kTag, communicator,
                   MPI_STATUS_IGNORE),
          "MPI_Recv");
  });
  return bytes;
}

void broadcast(Bytes& bytes, MPI_Comm communicator) {
  std::uint64_t length = bytes.size();
  check(MPI_Bcast(&length, 1, MPI_UINT64_T, 0, communicator), "MPI_Bcast");
  bytes.resize(static_cast<std::size_t>(length));
  for_each_part(std::span(bytes), [&](std::span<std::byte> part) {
    check(MPI_Bcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, communicator),
          "MPI_Bcast");
  });
}

std::vector<Bytes> gather(std::span<const std::byte> mine, MPI_Comm communicator) {
  if (rank_of(communicator) != 0) {
    send(mine, 0, communicator);
    return {};
  }
  std::vector<Bytes> all = {Bytes(mine.begin(), mine.end())};
  for (int rank = 1; rank < size_of(communicator); ++rank) {
    all.push_back(receive(rank, communicator));
  }
  return all;
}

std::vector<Bytes> gather_everywhere(std::span<const std::byte> mine, MPI_Comm communicator) {
  Bytes joined;
  for (const Bytes& part : gather(mine, communicator)) {
    put_length(joined, part.size());
    joined.insert(joined.end(), part.begin(), part.end());
  }
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
