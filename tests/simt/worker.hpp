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

/// Where code runs, or waits for its turn: the host's, or a worker's.
class Stack {
 public:
  Stack() = default;
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// Called on this stack: goes on on the other, until somebody goes to this one.
  void go_to(Stack& other);

 protected:
  /// The first thing that runs on this stack does so after a go_to().
  void arrive(boost::context::fiber&& left, void* fake_stack);

  boost::context::fiber waiting_;  // what waits here
  // What AddressSanitizer is told; of the host's stack it tells us.
  const void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
};

class Worker : public Stack {
 public:
  /// `work` runs on the worker's stack, again and again; each time it returns where to go next.
  explicit Worker(std::function<Stack&(Worker&)> work);
  /// Whatever is on the stack is forgotten, not unwound: nothing on it may own memory.
  ~Worker();

  /// The context of the threads that run on this stack.
  [[nodiscard]] Context context() const { return context_; }

 private:
  void main(boost::context::fiber&& left);

  std::function<Stack&(Worker&)> work_;
  boost::context::stack_context memory_;
  Context context_ = new_context();
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

  explicit WorkerPool(std::function<Stack&(Worker&)> work) : work_(std::move(work)) {}

  void begin_block(std::size_t num_threads);
  /// For a thread that starts.
  Worker& take(std::size_t thread);
  /// Whose thread has returned.
  void give_back(Worker& worker);
  /// Whose thread will never return.
  void discard(Worker& worker);

 private:
  std::function<Stack&(Worker&)> work_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> idle_;  // unless kOneThreadEach
  std::size_t first_ = 0;      // the worker of the block's thread 0, if kOneThreadEach
};

}  // namespace simt
