// Runs the threads of one block at a time, one thread at a time, and finds what would hang or be
// undefined on a GPU.
//
// Thread: a CUDA thread. Worker: a stack. A thread takes a worker when it starts and keeps it until
// it returns, so threads that never wait share one worker.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sanitizers.hpp"
#include "turns.hpp"
#include "worker.hpp"

namespace simt {

struct Grid {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes;
  std::function<void()> thread_body;
};

/// The stream will have no more work: its workers' contexts can go.
void forget_stream(Context stream);

class Scheduler {
 public:
  Scheduler(const Grid& grid, Order order, std::uint64_t launch, Context stream);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Runs the grid; returns the fault that ended it, or an empty text.
  std::string run();

  /// The scheduler whose kernel is running on this host thread; ends the process if there is none.
  static Scheduler& running();

  /// A worker's work: runs threads from their start, until it is the turn of one that has started.
  /// Returns where it waits.
  Stack& run_threads(Worker& worker);

  // Called by the thread that runs, on its worker's stack.
  void block_barrier(const Site& site);
  std::uint64_t warp_operation(const WarpRequest& request, const Site& site);
  void preempt();
  void fence();

 private:
  enum class State : unsigned char { kReady, kAtBarrier, kInWarpOp, kReturned };

  struct Thread {
    unsigned number = 0;  // in the block
    uint3 index{};
    State state = State::kReady;
    Worker* worker = nullptr;  // null until it starts
    Site site;                 // where it waits
    WarpRequest request{};     // what for
    std::uint64_t result = 0;  // what it gets
  };

  /// What the lanes of a warp do, a bit for each.
  struct Warp {
    unsigned waiting = 0;  // in an operation of the warp
    unsigned gone = 0;     // returned, or at a barrier
    unsigned alike = 0;    // waiting in the operation that the last to come asked for
    WarpRequest last{};    // that operation
  };

  void run_block(std::uint64_t block);
  void run_thread(Thread& thread);
  void choose_next();
  [[nodiscard]] Stack& stack_of_next();
  void wait(Thread& self);
  void make_ready(Thread& thread);
  void set_state(Thread& thread, State state);
  void synchronize(std::span<const Thread> threads, unsigned lanes) const;

  // warp.cpp
  [[nodiscard]] std::span<Thread> warp_of(const Thread& thread);
  void check_request(const Thread& self);
  [[nodiscard]] bool all_arrived(const Thread& self);
  void complete(const Thread& self);
  [[nodiscard]] std::uint64_t shuffled(const Thread& lane);
  void check_not_awaited(const Thread& self, const char* doing_what);

  // fault.cpp
  /// Ends the kernel from the thread that runs. Its stack is forgotten: nothing on it may own
  /// memory.
  template <class What>
  [[noreturn]] void fail(const Thread& thread, What what) {
    // The text is made on the thread's stack, by the scheduler.
    put_before(next_->worker->context(), home_);
    report(thread, what());
    stop();
  }
  void report(const Thread& thread, const std::string& what);
  [[noreturn]] void stop();
  void report_deadlock();
  [[nodiscard]] static std::string call(const Thread& thread);
  [[nodiscard]] static std::string doing(const Thread& thread);

  const Grid& grid_;
  std::uint64_t launch_;
  Turns turns_;
  BlockOrder block_order_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  WorkerPool& workers_;
  Stack host_;
  Thread* next_ = nullptr;  // whose turn it is
  unsigned num_returned_ = 0;
  unsigned num_at_barrier_ = 0;
  std::string fault_;

  Context home_;    // the host thread; the scheduler's own code runs in it
  Context stream_;  // what the kernel comes after, and what comes after the kernel
  Clock begin_;
  Clock end_;
  Clock fence_;
};

}  // namespace simt
