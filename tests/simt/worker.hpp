// Stacks on which CUDA threads run, one thread after another.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "sanitizers.hpp"

namespace simt {

class Worker {
 public:
  /// `work` runs on the worker's stack, again and again; when it returns, so does enter().
  explicit Worker(std::function<void(Worker&)> work);
  /// Whatever is on the stack is forgotten, not unwound: nothing on it may own memory.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Goes on on the worker's stack, until leave() or the end of a round of work.
  void enter();
  /// Called on the worker's stack: goes back to who entered.
  void leave();
  /// The context of the threads that run on this stack.
  [[nodiscard]] Context context() const { return context_; }

 private:
  void main(boost::context::fiber caller);

  std::function<void(Worker&)> work_;
  boost::context::stack_context stack_;
  Context context_ = new_context();
  boost::context::fiber worker_;
  boost::context::fiber caller_;
  // What AddressSanitizer knows of the caller's stack.
  [[maybe_unused]] const void* caller_stack_ = nullptr;
  [[maybe_unused]] std::size_t caller_stack_bytes_ = 0;
};

/// Workers for the threads of one block after another.
class WorkerPool {
 public:
#ifdef SIMT_TSAN
  // Two threads on one stack would race for its memory, so each thread has a worker, and with it a
  // context, to itself. As a context costs a millisecond, blocks of a stream share them, but never
  // two of a launch that run one after the other; and a thread meets the context of the same thread
  // of another block only after as many blocks as there are contexts. Streams have pools of their
  // own: what shares a context is in order.
  static constexpr bool kOneThreadEach = true;
#else
  static constexpr bool kOneThreadEach = false;
#endif

  explicit WorkerPool(std::function<void(Worker&)> work) : work_(std::move(work)) {}

  void begin_block(std::size_t num_threads);
  /// For a thread that starts.
  Worker& take(std::size_t thread);
  /// Whose thread has returned.
  void give_back(Worker& worker);
  /// Whose thread will never return.
  void discard(Worker& worker);

 private:
  std::function<void(Worker&)> work_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> idle_;  // unless kOneThreadEach
  std::size_t first_ = 0;      // the worker of the block's thread 0, if kOneThreadEach
};

}  // namespace simt
