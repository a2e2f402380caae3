// The processes that one call of the program runs in: one, or those that mpirun has started.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/error.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::cli {

/// Whether a launcher of MPI has started this process.
bool is_launched_by_mpi() noexcept;

/// The functions that are no plain numbers are collective: every rank calls them, in the
/// same order.
class Ranks {
 public:
  /// Takes part in MPI where a launcher of MPI has started this process.
  Ranks();
  /// Ends MPI, and the other ranks where they would wait for this one. A launcher kills the other
  /// ranks soon after one has ended with an error: what a rank has to say of an error that all of
  /// them meet, it says before.
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] bool is_root() const noexcept { return rank_ == 0; }
  /// Ranks on this machine, which share its cores.
  [[nodiscard]] int local_size() const noexcept { return local_size_; }

  /// Does a rank's part of the work. Where any rank's has failed, all throw: those of whom it was
  /// their own exception, the others what ended the first of them.
  void together(const std::function<void()>& part) const;

  /// @throws UsageError on every rank where not all have the same text. `what` names it.
  void check_same(const std::string& text, std::string_view what) const;

  /// What each rank has, in the order of the ranks, at the root; nothing elsewhere.
  [[nodiscard]] std::vector<std::vector<std::byte>> gather(std::span<const std::byte> mine) const;

  /// The root's.
  [[nodiscard]] ExitCode of_root(ExitCode code) const;

  /// Everybody's collector becomes the merge of all.
  void all_reduce(CalibrationCollector& collector) const;

 private:
  /// A collective part, after which all have the same errors of the library's.
  template <typename Part>
  auto collectively(const Part& part) const {
    try {
      return part();
    } catch (const Error&) {
      throw;
    } catch (...) {
      is_alone_ = true;
      throw;
    }
  }

  int rank_ = 0;
  int size_ = 1;
  int local_size_ = 1;
  bool uses_mpi_ = false;
  mutable bool is_alone_ = false;  ///< Left a collective call by an error that others do not have.
};

}  // namespace cuqat::cli
