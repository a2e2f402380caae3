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

/// Stacks begin at the same place of a page, and their hottest lines would share one set of the
/// cache: the next one begins so much lower, an odd number of lines, up to kNumPlaces times.
constexpr std::size_t kShiftBytes = 3 * 64;
constexpr std::size_t kNumPlaces = 64;
std::size_t g_place = 0;

/// The stack that go_to() left last.
Stack* g_left = nullptr;

/// Hands out a stack that belongs to somebody else.
struct BorrowedStack {
  boost::context::stack_context stack;
  [[nodiscard]] boost::context::stack_context allocate() const {
    boost::context::stack_context lower = stack;
    const std::size_t shift = g_place++ % kNumPlaces * kShiftBytes;
    lower.sp = static_cast<char*>(stack.sp) - shift;
    lower.size -= shift;
    return lower;
  }
  void deallocate(boost::context::stack_context&) const noexcept {}
};

}  // namespace

void Stack::go_to(Stack& other) {
  void* fake_stack = nullptr;
#ifdef SIMT_ASAN
  __sanitizer_start_switch_fiber(&fake_stack, other.bottom_, other.bytes_);
#endif
  g_left = this;
  arrive(std::move(other.waiting_).resume(), fake_stack);
}

void Stack::arrive(boost::context::fiber&& left, [[maybe_unused]] void* fake_stack) {
  g_left->waiting_ = std::move(left);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &g_left->bottom_, &g_left->bytes_);
#endif
}

Worker::Worker(std::function<Stack&(Worker&)> work)
    : work_(std::move(work)),
      memory_(boost::context::protected_fixedsize_stack(kStackBytes).allocate()) {
  bottom_ = static_cast<const char*>(memory_.sp) - memory_.size;
  bytes_ = memory_.size;
  waiting_ = boost::context::fiber(std::allocator_arg, BorrowedStack{memory_},
                                   [this](boost::context::fiber&& left) {
                                     main(std::move(left));
                                     return boost::context::fiber{};
                                   });
}

void Worker::main(boost::context::fiber&& left) {
  arrive(std::move(left), nullptr);
  for (;;) go_to(work_(*this));
}

Worker::~Worker() {
  // Destroying a suspended fiber unwinds its stack by an exception, which ends the process in a
  // device function that is noexcept. So it is moved to where no destructor runs.
  alignas(boost::context::fiber) std::byte lost[sizeof(boost::context::fiber)];
  new (lost) boost::context::fiber(std::move(waiting_));
  allow_access(static_cast<const char*>(memory_.sp) - memory_.size, memory_.size);
  boost::context::protected_fixedsize_stack(kStackBytes).deallocate(memory_);
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
