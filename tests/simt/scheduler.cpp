#include "scheduler.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "arena.hpp"

const int warpSize = 32;

namespace simt {

Builtins builtins;

namespace {

Scheduler* g_running = nullptr;

/// By stream, where streams are contexts: else there is one.
std::map<Context, WorkerPool>& pools() {
  static auto* const all = new std::map<Context, WorkerPool>;
  return *all;
}

WorkerPool& workers_of(Context stream) {
  return pools()
      .try_emplace(
          stream, [](Worker& worker) -> Stack& { return Scheduler::running().run_threads(worker); })
      .first->second;
}

}  // namespace

void forget_stream(Context stream) {
  if (stream != nullptr) pools().erase(stream);
}

Scheduler::Scheduler(const Grid& grid, Order order, std::uint64_t launch, Context stream)
    : grid_(grid),
      launch_(launch),
      turns_(order, grid.threads.x * grid.threads.y * grid.threads.z, launch),
      block_order_(order, std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z),
      threads_(std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z),
      warps_((threads_.size() + kWarpSize - 1) / kWarpSize),
      workers_(workers_of(stream)),
      home_(current_context()),
      stream_(stream) {
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const dim3& extent = grid.threads;
    threads_[i].number = i;
    threads_[i].index = {i % extent.x, i / extent.x % extent.y, i / extent.x / extent.y};
  }
  builtins.block_extent = grid.threads;
  builtins.grid_extent = grid.blocks;
  builtins.preempt_at_atomics = order.kind == Order::Kind::kRandom;
}

Scheduler& Scheduler::running() {
  if (g_running == nullptr) {
    std::fputs("simt: a device function was called outside a kernel\n", stderr);
    std::abort();
  }
  return *g_running;
}

std::string Scheduler::run() {
  {
    const InContext in(stream_);
    begin_.release();
  }
  g_running = this;
  const dim3& blocks = grid_.blocks;
  const std::uint64_t num_blocks = std::uint64_t{blocks.x} * blocks.y * blocks.z;
  for (std::uint64_t i = 0; i < num_blocks && fault_.empty(); ++i) run_block(block_order_[i]);
  end_shared_memory();
  g_running = nullptr;
  {
    const InContext in(stream_);
    end_.acquire();
  }
  return fault_;
}

void Scheduler::run_block(std::uint64_t block) {
  const dim3& blocks = grid_.blocks;
  builtins.block = {static_cast<unsigned>(block % blocks.x),
                    static_cast<unsigned>(block / blocks.x % blocks.y),
                    static_cast<unsigned>(block / blocks.x / blocks.y)};
  workers_.begin_block(threads_.size());
  begin_shared_memory(grid_.shared_bytes);
  begin_.release();  // the filling of shared memory
  num_returned_ = 0;
  num_at_barrier_ = 0;
  for (Thread& thread : threads_) {
    thread.worker = nullptr;
    make_ready(thread);
  }
  choose_next();
  host_.go_to(stack_of_next());
  if (fault_.empty() && num_returned_ < threads_.size()) report_deadlock();
  if (fault_.empty()) return;
  for (Thread& thread : threads_) {
    if (thread.worker == nullptr || thread.state == State::kReturned) continue;
    {
      // What the thread did comes before what its stream does next, as for any other.
      const InContext in(thread.worker->context());
      end_.release();
    }
    workers_.discard(*thread.worker);
  }
}

Stack& Scheduler::run_threads(Worker& worker) {
  do {
    Thread& thread = *next_;
    thread.worker = &worker;
    run_thread(thread);
    check_not_awaited(thread, "returns");
    set_state(thread, State::kReturned);
    ++num_returned_;
    choose_next();
  } while (!WorkerPool::kOneThreadEach && next_ != nullptr && next_->worker == nullptr);
  workers_.give_back(worker);
  return stack_of_next();
}

void Scheduler::run_thread(Thread& thread) {
  builtins.thread = thread.index;
  switch_to(thread.worker->context());
  begin_.acquire();
  bool threw = false;
  try {
    grid_.thread_body();
  } catch (...) {
    threw = true;
  }
  end_.release();
  switch_to(home_);
  if (threw) fail(thread, [] { return "threw an exception"; });
}

void Scheduler::choose_next() {
  const std::optional<unsigned> number = turns_.next();
  next_ = number ? &threads_[*number] : nullptr;
}

/// The host's where nobody can run: the block has ended, or stopped.
Stack& Scheduler::stack_of_next() {
  if (next_ == nullptr) return host_;
  return next_->worker != nullptr ? *next_->worker : workers_.take(next_->number);
}

void Scheduler::make_ready(Thread& thread) {
  set_state(thread, State::kReady);
  turns_.set_ready(thread.number);
}

void Scheduler::set_state(Thread& thread, State state) {
  thread.state = state;
  Warp& warp = warps_[thread.number / kWarpSize];
  const unsigned lane = 1u << thread.number % kWarpSize;
  warp.waiting &= ~lane;
  warp.gone &= ~lane;
  warp.alike &= ~lane;
  if (state == State::kInWarpOp) warp.waiting |= lane;
  if (state == State::kReturned || state == State::kAtBarrier) warp.gone |= lane;
}

/// Lets others run until it is self's turn again. In and out, the context is the scheduler's.
void Scheduler::wait(Thread& self) {
  choose_next();
  if (next_ != &self) self.worker->go_to(stack_of_next());
  builtins.thread = self.index;
}

void Scheduler::block_barrier(const Site& site) {
  switch_to(home_);
  Thread& self = *next_;
  self.site = site;
  check_not_awaited(self, "waits at __syncthreads");
  set_state(self, State::kAtBarrier);
  // Threads that returned are not left out, as some GPUs do it: cuqat's kernels never return before
  // a barrier, and what the GPU does differs between generations.
  if (++num_at_barrier_ == threads_.size()) {
    num_at_barrier_ = 0;
    for (const Thread& other : threads_) {
      // __syncthreads in both branches of a condition is undefined, though it may work.
      if (other.site.line != site.line || std::strcmp(other.site.file, site.file) != 0) {
        fail(self, [&] { return doing(self) + ", " + doing(other); });
      }
    }
    synchronize(threads_, ~0u);
    for (Thread& thread : threads_) make_ready(thread);
  }
  wait(self);
  switch_to(self.worker->context());
}

/// All that these threads have done comes before all that any of them will do.
void Scheduler::synchronize([[maybe_unused]] std::span<const Thread> threads,
                            [[maybe_unused]] unsigned lanes) const {
#ifdef SIMT_TSAN
  const Clock clock;
  const auto for_each = [&](auto action) {
    for (const Thread& thread : threads) {
      if ((lanes >> thread.number % kWarpSize & 1u) == 0) continue;
      const InContext in(thread.worker->context());
      action();
    }
  };
  for_each([&] { clock.release(); });
  for_each([&] { clock.acquire(); });
#endif
}

void Scheduler::preempt() {
  switch_to(home_);
  Thread& self = *next_;
  if (turns_.preempt()) {
    make_ready(self);
    wait(self);
  }
  switch_to(self.worker->context());
}

void Scheduler::fence() {
  // A fence before a relaxed store and one after the load that sees it order the two threads. Which
  // atomics belong to which fences is not known here, so any two fences order their threads.
  fence_.release();
  fence_.acquire();
}

void block_barrier(const Site& site) { Scheduler::running().block_barrier(site); }
unsigned long long warp_operation(const WarpRequest& request, const Site& site) {
  return Scheduler::running().warp_operation(request, site);
}
void preempt() { Scheduler::running().preempt(); }
void fence() { Scheduler::running().fence(); }

}  // namespace simt
