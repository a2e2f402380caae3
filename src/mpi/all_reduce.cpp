#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "cuqat/error.hpp"
#include "cuqat/mpi.hpp"
#include "mpi/messages.hpp"

namespace cuqat {
namespace {

using mpi::Bytes;

/// What the collectors of all ranks must have in common.
struct Kind {
  std::int64_t dtype;
  std::int64_t granularity;
  std::int64_t axis;
  std::int64_t num_scales;  ///< 0: nothing observed yet.
};

Kind kind_of(const CalibrationCollector& collector) {
  const Granularity& granularity = collector.granularity();
  return {static_cast<std::int64_t>(collector.dtype()), static_cast<std::int64_t>(granularity.kind),
          granularity.axis, collector.num_scales()};
}

/// @throws InvalidArgument on every rank alike.
void check_kinds(const CalibrationCollector& collector, MPI_Comm communicator) {
  const Kind mine = kind_of(collector);
  const auto all = mpi::gather_everywhere(std::as_bytes(std::span(&mine, 1)), communicator);
  Kind first{};
  int rank_of_first = -1;  // the first that has observed something, or 0
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    Kind kind{};
    std::memcpy(&kind, all[rank].data(), sizeof(kind));
    if (rank == 0) first = kind;
    const std::string ranks = "collector of rank " + std::to_string(rank);
    if (kind.dtype != first.dtype) {
      throw InvalidArgument(
          ranks + " is of " + std::string(to_string(static_cast<DType>(kind.dtype))) +
          ", that of rank 0 of " + std::string(to_string(static_cast<DType>(first.dtype))));
    }
    if (kind.granularity != first.granularity || kind.axis != first.axis) {
      throw InvalidArgument(ranks + " has another granularity than that of rank 0");
    }
    if (kind.num_scales == 0) continue;
    if (rank_of_first < 0) {
      rank_of_first = static_cast<int>(rank);
      first.num_scales = kind.num_scales;
    } else if (kind.num_scales != first.num_scales) {
      throw InvalidArgument(ranks + " has " + std::to_string(kind.num_scales) +
                            " channels, that of rank " + std::to_string(rank_of_first) + " has " +
                            std::to_string(first.num_scales));
    }
  }
}

/// A saved collector, or why there is none: the first byte tells which.
constexpr std::byte kIsState{0};
constexpr std::byte kIsFailure{1};

template <typename Text>
Bytes message(std::byte what, const Text& content) {
  const auto bytes = std::as_bytes(std::span(content.data(), content.size()));
  Bytes result(1 + bytes.size(), what);
  std::ranges::copy(bytes, result.begin() + 1);
  return result;
}

/// The merge of all, on rank 0; of some, or nothing of interest, on the others. A failure goes on
/// in the place of the sum, so that no rank waits for another in vain.
Bytes reduce_to_first(const CalibrationCollector& collector, MPI_Comm communicator) {
  const int rank = mpi::rank_of(communicator);
  const int size = mpi::size_of(communicator);
  const auto failure = [rank](const std::string& what) {
    return message(kIsFailure, "rank " + std::to_string(rank) + what);
  };
  Bytes sum;
  try {
    sum = message(kIsState, collector.save());
  } catch (const std::exception& error) {
    sum = failure(std::string(": ") + error.what());
  }
  for (int step = 1; step < size; step *= 2) {
    if (rank % (2 * step) != 0) {
      // Where the other has no memory for it, it says so to all.
      static_cast<void>(mpi::send(sum, rank - step, communicator));
      return sum;
    }
    if (rank + step >= size) continue;
    std::optional<Bytes> received = mpi::receive(rank + step, communicator);
    if (sum.front() == kIsFailure) continue;
    if (!received) {
      sum = failure(" ran out of memory");
      continue;
    }
    const Bytes part = std::move(*received);
    if (part.front() == kIsFailure) {
      sum = part;
      continue;
    }
    try {
      auto merged = CalibrationCollector::load(std::span(sum).subspan(1));
      merged.merge(CalibrationCollector::load(std::span(part).subspan(1)));
      sum = message(kIsState, merged.save());
    } catch (const std::exception& error) {
      sum = failure(std::string(": ") + error.what());
    }
  }
  return sum;
}

}  // namespace

void all_reduce(CalibrationCollector& collector, MPI_Comm communicator) {
  check_kinds(collector, communicator);
  Bytes sum = reduce_to_first(collector, communicator);
  mpi::broadcast(sum, communicator);
  if (sum.front() == kIsFailure) {
    throw Error(std::string(reinterpret_cast<const char*>(sum.data()) + 1, sum.size() - 1));
  }
  std::optional<CalibrationCollector> merged;
  std::exception_ptr failure;
  try {
    merged = CalibrationCollector::load(std::span(sum).subspan(1));
  } catch (...) {
    failure = std::current_exception();
  }
  if (mpi::all_of(merged.has_value(), communicator)) {
    collector = std::move(*merged);
    return;
  }
  if (failure) std::rethrow_exception(failure);
  throw mpi::OutOfMemory();
}

}  // namespace cuqat
