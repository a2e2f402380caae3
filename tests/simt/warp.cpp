// Operations of a warp: they happen when every lane that the mask names has arrived.
#include <algorithm>
#include <bit>

#include "scheduler.hpp"

namespace simt {
namespace {

unsigned lane_of(unsigned number) { return number % kWarpSize; }

bool names(unsigned mask, unsigned lane) { return (mask >> lane & 1u) != 0; }

/// Calls visit(lane) for each lane that the mask names, the lowest first.
template <class Visit>
void for_each_lane(unsigned mask, Visit visit) {
  for (; mask != 0; mask &= mask - 1) visit(static_cast<unsigned>(std::countr_zero(mask)));
}

bool same_operation(const WarpRequest& a, const WarpRequest& b) {
  return a.op == b.op && a.mask == b.mask && a.value_bytes == b.value_bytes;
}

bool moves_by_distance(WarpOp op) {
  return op == WarpOp::kShuffleXor || op == WarpOp::kShuffleUp || op == WarpOp::kShuffleDown;
}

}  // namespace

std::span<Scheduler::Thread> Scheduler::warp_of(const Thread& thread) {
  const std::size_t first = thread.number - lane_of(thread.number);
  return std::span(threads_).subspan(first,
                                     std::min<std::size_t>(kWarpSize, threads_.size() - first));
}

std::uint64_t Scheduler::warp_operation(const WarpRequest& request, const Site& site) {
  switch_to(home_);
  Thread& self = *next_;
  self.request = request;
  self.site = site;
  check_request(self);
  set_state(self, State::kInWarpOp);
  Warp& lanes = warps_[self.number / kWarpSize];
  if (!same_operation(lanes.last, request)) lanes.alike = 0;
  lanes.alike |= 1u << lane_of(self.number);
  lanes.last = request;
  if (all_arrived(self)) complete(self);
  wait(self);
  switch_to(self.worker->context());
  return self.result;
}

void Scheduler::check_request(const Thread& self) {
  const WarpRequest& request = self.request;
  const unsigned lane = lane_of(self.number);
  if (!names(request.mask, lane)) {
    fail(self, [&] { return "calls " + call(self) + ", which leaves itself out"; });
  }
  if (request.width != static_cast<int>(kWarpSize)) {
    fail(self, [&] { return "calls " + call(self) + " with a width other than 32"; });
  }
  if (moves_by_distance(request.op) && (request.operand < 0 || request.operand >= 32)) {
    fail(self, [&] { return "calls " + call(self) + " over a distance that is not in [0, 32)"; });
  }
  const std::span<const Thread> warp = warp_of(self);
  const Warp& lanes = warps_[self.number / kWarpSize];
  const unsigned missing = warp.size() < kWarpSize ? ~0u << warp.size() : 0u;
  const unsigned alike = same_operation(lanes.last, request) ? lanes.alike : 0u;
  const unsigned others = request.mask & ~(1u << lane);
  for_each_lane(others & (missing | lanes.gone | (lanes.waiting & ~alike)), [&](unsigned other) {
    if (other >= warp.size()) {
      fail(self, [&] {
        return "calls " + call(self) + ", which names lane " + std::to_string(other) +
               ": the block has no such thread";
      });
    }
    const Thread& peer = warp[other];
    // A peer in an operation of other lanes may still come to this one.
    const bool may_come = peer.state == State::kInWarpOp && (!names(peer.request.mask, lane) ||
                                                             same_operation(peer.request, request));
    if (!may_come) {
      fail(self, [&] {
        return "calls " + call(self) + ", which names lane " + std::to_string(other) + ", but " +
               doing(peer);
      });
    }
  });
}

bool Scheduler::all_arrived(const Thread& self) {
  const unsigned mask = self.request.mask;
  const Warp& lanes = warps_[self.number / kWarpSize];
  if ((mask & ~lanes.waiting) != 0) return false;
  const std::span<const Thread> warp = warp_of(self);
  bool all_alike = true;
  for_each_lane(mask & ~lanes.alike, [&](unsigned lane) {
    all_alike = all_alike && same_operation(warp[lane].request, self.request);
  });
  return all_alike;
}

void Scheduler::complete(const Thread& self) {
  const WarpOp op = self.request.op;
  const unsigned mask = self.request.mask;
  const std::span<Thread> warp = warp_of(self);
  // Of the warp operations only __syncwarp orders memory: CUDA promises nothing for the others.
  if (op == WarpOp::kSync) synchronize(warp, mask);

  const auto lanes_where = [&](auto predicate) {
    std::uint64_t lanes = 0;
    for_each_lane(mask, [&](unsigned lane) {
      if (predicate(warp[lane].request.value)) lanes |= std::uint64_t{1} << lane;
    });
    return lanes;
  };
  const bool votes = op == WarpOp::kBallot || op == WarpOp::kAny || op == WarpOp::kAll;
  const std::uint64_t ballot =
      votes ? lanes_where([](std::uint64_t predicate) { return predicate != 0; }) : 0;
  for_each_lane(mask, [&](unsigned lane) {
    Thread& thread = warp[lane];
    switch (op) {
      case WarpOp::kSync:
        break;
      case WarpOp::kBallot:
        thread.result = ballot;
        break;
      case WarpOp::kAny:
        thread.result = ballot != 0;
        break;
      case WarpOp::kAll:
        thread.result = ballot == mask;
        break;
      case WarpOp::kMatchAny: {
        const std::uint64_t own = thread.request.value;
        thread.result = lanes_where([own](std::uint64_t value) { return value == own; });
        break;
      }
      default:
        thread.result = shuffled(thread);
    }
  });
  for_each_lane(mask, [&](unsigned lane) { make_ready(warp[lane]); });
}

std::uint64_t Scheduler::shuffled(const Thread& thread) {
  const auto lane = static_cast<int>(lane_of(thread.number));
  const int operand = thread.request.operand;
  int source = lane;
  switch (thread.request.op) {
    case WarpOp::kShuffle:
      source = operand & 31;
      break;
    case WarpOp::kShuffleXor:
      source = lane ^ operand;
      break;
    case WarpOp::kShuffleUp:
      source = lane - operand;
      break;
    default:
      source = lane + operand;
  }
  if (source < 0 || source > 31) source = lane;  // over the warp's end: the lane's own value
  if (!names(thread.request.mask, static_cast<unsigned>(source))) {
    fail(thread, [&] {
      return "reads lane " + std::to_string(source) + " in " + call(thread) +
             ", which does not name it";
    });
  }
  return warp_of(thread)[static_cast<std::size_t>(source)].request.value;
}

/// A thread that returns, or waits for its block, keeps no lane waiting for it.
void Scheduler::check_not_awaited(const Thread& self, const char* doing_what) {
  const std::span<const Thread> warp = warp_of(self);
  for_each_lane(warps_[self.number / kWarpSize].waiting, [&](unsigned lane) {
    const Thread& peer = warp[lane];
    if (names(peer.request.mask, lane_of(self.number))) {
      fail(self, [&] {
        return std::string(doing_what) + ", but " + doing(peer) + ", which names its lane " +
               std::to_string(lane_of(self.number));
      });
    }
  });
}

}  // namespace simt
