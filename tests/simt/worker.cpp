#include "worker.hpp"

#include <algorithm>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <memory>
#include <new>
#include <utility>

namespace simt {
namespace {

// Sanitized frames are several times as large.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

/// Hands out a stack that belongs to somebody else.
struct BorrowedStack {
  boost::context::stack_context stack;
  [[nodiscard]] boost::context::stack_context allocate() const { return stack; }
  void deallocate(boost::context::stack_context&) const noexcept {}
};

}  // namespace

Worker::Worker(std::function<void(Worker&)> work)
    : work_(std::move(work)),
      stack_(boost::context::protected_fixedsize_stack(kStackBytes).allocate()) {}

void Worker::enter() {
  if (!worker_) {
    worker_ = boost::context::fiber(std::allocator_arg, BorrowedStack{stack_},
                                    [this](boost::context::fiber&& caller) {
                                      main(std::move(caller));
                                      return boost::context::fiber{};
                                    });
  }
#ifdef SIMT_ASAN
  void* fake_stack = nullptr;
  const char* const bottom = static_cast<const char*>(stack_.sp) - stack_.size;
  __sanitizer_start_switch_fiber(&fake_stack, bottom, stack_.size);
#endif
  worker_ = std::move(worker_).resume();
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Worker::main(boost::context::fiber caller) {
  caller_ = std::move(caller);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &caller_stack_, &caller_stack_bytes_);
#endif
  for (;;) {
    work_(*this);
    leave();
  }
}

void Worker::leave() {
#ifdef SIMT_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, caller_stack_, caller_stack_bytes_);
#endif
  caller_ = std::move(caller_).resume();
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &caller_stack_, &caller_stack_bytes_);
#endif
}

Worker::~Worker() {
  // Destroying a suspended fiber unwinds its stack by an exception, which ends the process in a
  // device function that is noexcept. So it is moved to where no destructor runs.
  alignas(boost::context::fiber) std::byte lost[sizeof(boost::context::fiber)];
  new (lost) boost::context::fiber(std::move(worker_));
  allow_access(static_cast<const char*>(stack_.sp) - stack_.size, stack_.size);
  boost::context::protected_fixedsize_stack(kStackBytes).deallocate(stack_);
  delete_context(context_);
}

void WorkerPool::begin_block(std::size_t num_threads) {
  if (!kOneThreadEach) return;
  if (workers_.size() < 2 * num_threads + 1) workers_.resize(2 * num_threads + 1);
  first_ = (first_ + num_threads) % workers_.size();
}

Worker& WorkerPool::take(std::size_t thread) {
  if (kOneThreadEach) {
    std::unique_ptr<Worker>& worker = workers_[(first_ + thread) % workers_.size()];
    if (worker == nullptr) worker = std::make_unique<Worker>(work_);
    return *worker;
  }
  if (idle_.empty()) {
    workers_.push_back(std::make_unique<Worker>(work_));
    return *workers_.back();
  }
  Worker* const worker = idle_.back();
  idle_.pop_back();
  return *worker;
}

void WorkerPool::give_back(Worker& worker) {
  if (!kOneThreadEach) idle_.push_back(&worker);
}

void WorkerPool::discard(Worker& worker) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&](const auto& other) { return other.get() == &worker; });
  found->reset();
  if (!kOneThreadEach) workers_.erase(found);
}

}  // namespace simt
