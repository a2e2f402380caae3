// A program that links failing_allocations.cpp has an operator new that can be told to fail.
#pragma once

#include <cstdint>
#include <new>

#include "cuqat/error.hpp"

namespace cuqat::test {

/// Allocations of this thread until one fails; negative: none does.
extern thread_local std::int64_t allocations_left;

/// How a call ended of which one allocation was to fail.
enum class Ending { kUndisturbed, kThrew, kWentOn };

/// Runs `call` with its n-th allocation failing.
template <typename Call>
Ending run_failing(std::int64_t n, const Call& call) {
  bool threw = false;
  allocations_left = n;
  try {
    call();
  } catch (const std::bad_alloc&) {
    threw = true;
  } catch (const Error&) {
    threw = true;
  }
  const bool failed = allocations_left == 0;
  allocations_left = -1;
  if (threw) return Ending::kThrew;
  return failed ? Ending::kWentOn : Ending::kUndisturbed;
}

}  // namespace cuqat::test
