// The implementations of the operations, and how one is chosen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cuqat {

namespace detail {
struct OperationTable;
}

/// One implementation of all host operations. A small value: copy it freely.
class Backend {
 public:
  /// The fastest backend that can run here ("cpu").
  static Backend automatic() noexcept;

  /// The backend of this name: "auto", "reference" or "cpu".
  /// @throws BackendUnavailable for an unknown name, or one that cannot run here.
  static Backend named(std::string_view name);

  [[nodiscard]] std::string_view name() const noexcept;

  /// The instruction set that the backend's loops were compiled for ("x86-64-v4", "baseline").
  [[nodiscard]] std::string_view instruction_set() const noexcept;

  /// The backend's functions. For the library's own use.
  [[nodiscard]] const detail::OperationTable& operations() const noexcept { return *table_; }

 private:
  explicit Backend(const detail::OperationTable& table) noexcept : table_(&table) {}
  const detail::OperationTable* table_;
};

/// A line of `cuqat info`.
struct BackendInfo {
  std::string name;
  bool usable = false;
  std::string detail;  ///< The instruction set where it is usable; why not where it is not.
};

/// Every backend this version knows, usable or not.
std::vector<BackendInfo> list_backends();

/// Most threads of one call.
inline constexpr int kMaxThreads = 1024;

/// Where and how a host operation runs. Results never depend on it, but for the last bits of
/// products of real numbers and of FP8 codes (gemm.hpp).
struct HostOptions {
  Backend backend = Backend::automatic();
  int num_threads = 0;  ///< At most kMaxThreads; 0: as many as the machine has.
};

/// Threads that a call with these options runs on.
/// @throws InvalidArgument where options.num_threads is negative or above kMaxThreads.
int num_threads(const HostOptions& options);

}  // namespace cuqat
