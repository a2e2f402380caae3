// oneDNN's products, where the library has it.
#pragma once

#if defined(CUQAT_HAS_ONEDNN)
#include <dnnl.h>
#include <omp.h>

#include <new>

#include "cpu/cpu_backend.hpp"
#include "cpu/kernels.hpp"

namespace cuqat::cpu {

/// The loops of the other instruction sets are for tests, which want them.
inline bool are_best(const Kernels& kernels) {
#if defined(CUQAT_HAS_X86_KERNELS)
  if (is_usable(InstructionSet::kX86V4)) return &kernels == &v4::kernels();
  if (is_usable(InstructionSet::kX86V3)) return &kernels == &v3::kernels();
#endif
  return &kernels == &baseline::kernels();
}

/// The threads that oneDNN takes: of this thread's parallel regions, until the end of the scope.
class ThreadsOfOneDnn {
 public:
  explicit ThreadsOfOneDnn(int count) : before_(omp_get_max_threads()) {
    omp_set_num_threads(count);
  }
  ~ThreadsOfOneDnn() { omp_set_num_threads(before_); }
  ThreadsOfOneDnn(const ThreadsOfOneDnn&) = delete;
  ThreadsOfOneDnn& operator=(const ThreadsOfOneDnn&) = delete;

 private:
  int before_;
};

/// A call with right arguments fails for want of memory only.
inline void check_onednn(dnnl_status_t status) {
  if (status != dnnl_success) throw std::bad_alloc();
}

}  // namespace cuqat::cpu
#endif
