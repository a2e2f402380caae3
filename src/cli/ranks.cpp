#include "cli/ranks.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "cli/failure.hpp"

#ifdef CUQAT_HAS_MPI
#include "cuqat/mpi.hpp"
#include "mpi/messages.hpp"
#endif

namespace cuqat::cli {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool is_launched_by_mpi() noexcept {
  // Set in each process by Open MPI, by PMI launchers (MPICH, Intel MPI, Slurm) and by PMIx.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

#ifdef CUQAT_HAS_MPI

Ranks::Ranks() {
  if (!is_launched_by_mpi()) return;
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    throw OutputError("MPI_Init_thread failed");
  }
  uses_mpi_ = true;
  rank_ = mpi::rank_of(MPI_COMM_WORLD);
  size_ = mpi::size_of(MPI_COMM_WORLD);
  MPI_Comm local = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
  local_size_ = mpi::size_of(local);
  MPI_Comm_free(&local);
}

Ranks::~Ranks() {
  if (!uses_mpi_) return;
  // Those who wait for this one would wait for ever.
  if (is_alone_) MPI_Abort(MPI_COMM_WORLD, kExitInternal);
  MPI_Finalize();
}

void Ranks::together(const std::function<void()>& part) const {
  if (size_ == 1) return part();
  std::exception_ptr mine;
  try {
    part();
  } catch (...) {
    mine = std::current_exception();
  }
  const auto all = collectively([&] {
    std::vector<std::byte> bytes;
    if (mine) {
      const Failure failure = failure_of(mine);
      bytes = bytes_of(static_cast<char>(failure.code) + failure.message);
    }
    return mpi::gather_everywhere(bytes, MPI_COMM_WORLD);
  });
  if (mine) std::rethrow_exception(mine);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].empty()) continue;
    throw RankError(static_cast<ExitCode>(all[rank].front()),
                    fmt::format("rank {}: {}", rank, text_of(std::span(all[rank]).subspan(1))));
  }
}

void Ranks::check_same(const std::string& text, std::string_view what) const {
  if (size_ == 1) return;
  const auto all =
      collectively([&] { return mpi::gather_everywhere(bytes_of(text), MPI_COMM_WORLD); });
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] != all[0]) {
      throw UsageError(fmt::format("rank {} has another {} than rank 0", rank, what));
    }
  }
}

std::vector<std::vector<std::byte>> Ranks::gather(std::span<const std::byte> mine) const {
  if (size_ == 1) return {{mine.begin(), mine.end()}};
  return collectively([&] { return mpi::gather(mine, MPI_COMM_WORLD); });
}

ExitCode Ranks::of_root(ExitCode code) const {
  if (size_ == 1) return code;
  return collectively([&] {
    std::vector<std::byte> bytes = {static_cast<std::byte>(code)};
    mpi::broadcast(bytes, MPI_COMM_WORLD);
    return static_cast<ExitCode>(bytes.front());
  });
}

void Ranks::all_reduce(CalibrationCollector& collector) const {
  if (size_ > 1) collectively([&] { cuqat::all_reduce(collector, MPI_COMM_WORLD); });
}

#else

Ranks::Ranks() {
  const char* const size = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (is_launched_by_mpi() && (size == nullptr || std::strcmp(size, "1") != 0)) {
    throw UsageError("this build of cuqat has no MPI: each of several processes would do all");
  }
}

Ranks::~Ranks() = default;

void Ranks::together(const std::function<void()>& part) const { part(); }
void Ranks::check_same(const std::string&, std::string_view) const {}
std::vector<std::vector<std::byte>> Ranks::gather(std::span<const std::byte> mine) const {
  return {{mine.begin(), mine.end()}};
}
ExitCode Ranks::of_root(ExitCode code) const { return code; }
void Ranks::all_reduce(CalibrationCollector&) const {}

#endif

}  // namespace cuqat::cli
