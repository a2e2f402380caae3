#include "cuqat/backend.hpp"

#include <algorithm>
#include <string>
#include <thread>

#include "cpu/cpu_backend.hpp"
#include "cuqat/error.hpp"
#include "host/arguments.hpp"
#include "reference/reference_backend.hpp"

namespace cuqat {

namespace {

constexpr std::string_view kNoCuda = "this build has no CUDA backend";

BackendInfo usable_backend(const detail::OperationTable& table) {
  return {table.name, true, table.instruction_set};
}

}  // namespace

Backend Backend::automatic() noexcept { return Backend(cpu::operations()); }

Backend Backend::named(std::string_view name) {
  if (name == "auto") return automatic();
  for (const auto* table : {&cpu::operations(), &reference::operations()}) {
    if (name == table->name) return Backend(*table);
  }
  const std::string asked = "backend \"" + std::string(name) + "\" is not available: ";
  if (name == "cuda") throw BackendUnavailable(asked + std::string(kNoCuda));
  throw BackendUnavailable(asked + "there are \"auto\", \"cpu\" and \"reference\"");
}

std::string_view Backend::name() const noexcept { return table_->name; }

std::string_view Backend::instruction_set() const noexcept { return table_->instruction_set; }

std::vector<BackendInfo> list_backends() {
  return {usable_backend(cpu::operations()),
          usable_backend(reference::operations()),
          {"cuda", false, std::string(kNoCuda)}};
}

int num_threads(const HostOptions& options) {
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    detail::throw_invalid(
        "options.num_threads", detail::text(options.num_threads),
        "in [1, " + detail::text(kMaxThreads) + "], or 0 for as many as the machine has");
  }
  if (options.num_threads > 0) return options.num_threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

}  // namespace cuqat
