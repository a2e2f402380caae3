// What the scheduler says about a kernel that went wrong: one line.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "scheduler.hpp"

namespace simt {
namespace {

std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

std::string where(const Site& site) {
  std::string_view file = site.file;
  file.remove_prefix(std::min(file.size(), file.rfind('/') + 1));
  return " (" + std::string(file) + ":" + std::to_string(site.line) + ")";
}

const char* name(WarpOp op) {
  switch (op) {
    case WarpOp::kSync:
      return "__syncwarp";
    case WarpOp::kShuffle:
      return "__shfl_sync";
    case WarpOp::kShuffleXor:
      return "__shfl_xor_sync";
    case WarpOp::kShuffleUp:
      return "__shfl_up_sync";
    case WarpOp::kShuffleDown:
      return "__shfl_down_sync";
    case WarpOp::kBallot:
      return "__ballot_sync";
    case WarpOp::kAny:
      return "__any_sync";
    case WarpOp::kAll:
      return "__all_sync";
    case WarpOp::kMatchAny:
      return "__match_any_sync";
  }
  return "a warp operation";
}

}  // namespace

/// The warp operation that the thread asked for, as in "__shfl_sync of 4 bytes, mask 0x1 (a.cu:7)".
std::string Scheduler::call(const Thread& thread) {
  const WarpRequest& request = thread.request;
  char mask[16];
  std::snprintf(mask, sizeof mask, "0x%x", request.mask);
  std::string result = name(request.op);
  if (request.value_bytes != 0) result += " of " + std::to_string(request.value_bytes) + " bytes";
  return result + ", mask " + mask + where(thread.site);
}

std::string Scheduler::doing(const Thread& thread) {
  const std::string who = "thread " + text(thread.index);
  switch (thread.state) {
    case State::kReady:
      return who + " has not waited yet";
    case State::kAtBarrier:
      return who + " waits at __syncthreads" + where(thread.site);
    case State::kInWarpOp:
      return who + " waits at " + call(thread);
    case State::kReturned:
      return who + " has returned";
  }
  return who;
}

void Scheduler::report(const Thread& thread, const std::string& what) {
  fault_ = "launch " + std::to_string(launch_) + ", block " + text(builtins.block) + ", thread " +
           text(thread.index) + ": " + what;
}

void Scheduler::stop() {
  Worker& worker = *next_->worker;
  next_ = nullptr;  // ends the block
  worker.go_to(host_);
  __builtin_unreachable();
}

void Scheduler::report_deadlock() {
  const auto at_barrier = [](const Thread& t) { return t.state == State::kAtBarrier; };
  const auto waiting = [](const Thread& t) {
    return t.state == State::kAtBarrier || t.state == State::kInWarpOp;
  };
  const auto barrier = std::find_if(threads_.begin(), threads_.end(), at_barrier);
  if (barrier != threads_.end()) {
    const auto missing = std::find_if_not(threads_.begin(), threads_.end(), at_barrier);
    report(*barrier, "waits at __syncthreads" + where(barrier->site) + ", reached by " +
                         std::to_string(num_at_barrier_) + " of " +
                         std::to_string(threads_.size()) + " threads: " + doing(*missing));
    return;
  }
  const auto waiter = std::find_if(threads_.begin(), threads_.end(), waiting);
  const auto next = std::find_if(std::next(waiter), threads_.end(), waiting);
  report(*waiter, "waits for ever at " + call(*waiter) +
                      (next == threads_.end() ? std::string() : ", and " + doing(*next)));
}

}  // namespace simt
