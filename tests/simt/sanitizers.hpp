// What the sanitizers must be told about stacks, threads and memory. Nothing in other builds.
//
// ThreadSanitizer sees each CUDA thread, each stream and each host thread as a context. Between
// them there is no order but the one that a Clock makes: everything before a release() in one
// context comes before everything after an acquire() in another.
#pragma once

#include <cstddef>
#include <memory>

#if defined(__SANITIZE_THREAD__)
// The scheduler runs in whatever context called it; instrumented, it would race with itself.
#error "compile the executor's own sources with -fno-sanitize=all -DSIMT_TSAN"
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(SIMT_ASAN)
#error "compile the executor's own sources with -DSIMT_ASAN"
#endif

#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt {

using Context = void*;

#ifdef SIMT_TSAN

inline Context current_context() { return __tsan_get_current_fiber(); }
inline void switch_to(Context context) {
  __tsan_switch_to_fiber(context, __tsan_switch_to_fiber_no_sync);
}
/// Takes a millisecond, and there can be 8000 of them.
inline Context new_context() { return __tsan_create_fiber(0); }
inline void delete_context(Context context) { __tsan_destroy_fiber(context); }

class Clock {
 public:
  void release() const { __tsan_release(address_.get()); }
  void acquire() const { __tsan_acquire(address_.get()); }

 private:
  // On the heap, because freeing it makes the sanitizer forget what the address stood for: a clock
  // at a used address would order its users after those of an earlier one.
  std::unique_ptr<char> address_ = std::make_unique<char>();
};

#else

inline Context current_context() { return nullptr; }
inline void switch_to(Context) {}
inline Context new_context() { return nullptr; }
inline void delete_context(Context) {}

class Clock {
 public:
  void release() const {}
  void acquire() const {}
};

#endif

/// Speaks for another context until the end of the scope.
class InContext {
 public:
  explicit InContext(Context context) : previous_(current_context()) { switch_to(context); }
  ~InContext() { switch_to(previous_); }
  InContext(const InContext&) = delete;
  InContext& operator=(const InContext&) = delete;

 private:
  Context previous_;
};

/// All that `earlier` has done comes before all that `later` will do.
inline void put_before([[maybe_unused]] Context earlier, [[maybe_unused]] Context later) {
#ifdef SIMT_TSAN
  const Clock clock;
  {
    const InContext in(earlier);
    clock.release();
  }
  const InContext in(later);
  clock.acquire();
#endif
}

inline void forbid_access([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef SIMT_ASAN
  __asan_poison_memory_region(begin, bytes);
#endif
}
inline void allow_access([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace simt
