// What a kernel calls, apart from atomics. Each call that waits takes the place it was written at
// as a last argument of its own accord, so that a fault names the line.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

namespace simt {

/// A place in the source. (clang 14 cannot compile libstdc++'s std::source_location.)
struct Site {
  const char* file = "";
  unsigned line = 0;
  static constexpr Site current(const char* file_ = __builtin_FILE(),
                                unsigned line_ = __builtin_LINE()) {
    return {file_, line_};
  }
};

/// What the scheduler sets before it resumes a thread.
struct Builtins {
  uint3 thread{};
  uint3 block{};
  dim3 block_extent;
  dim3 grid_extent;
  bool preempt_at_atomics = false;
};
extern Builtins builtins;

enum class WarpOp : unsigned char {
  kSync,
  kShuffle,
  kShuffleXor,
  kShuffleUp,
  kShuffleDown,
  kBallot,
  kAny,
  kAll,
  kMatchAny
};

/// One lane's part in a warp operation. Two lanes take part in the same operation if op, mask and
/// value_bytes agree.
struct WarpRequest {
  WarpOp op;
  unsigned mask;
  unsigned long long value = 0;  ///< The value's bits, or the predicate.
  unsigned value_bytes = 0;
  int operand = 0;  ///< Source lane, lane mask or distance of a shuffle.
  int width = 32;
};

void block_barrier(const Site& site);
/// Waits for every lane of the mask; returns this lane's result.
unsigned long long warp_operation(const WarpRequest& request, const Site& site);
void fence();

template <class T>
unsigned long long to_bits(T value) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "warp operations take 4-byte and 8-byte numbers");
  unsigned long long bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T shuffle(WarpOp op, unsigned mask, T value, int operand, int width, const Site& site) {
  const unsigned long long bits =
      warp_operation({op, mask, to_bits(value), sizeof(T), operand, width}, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline unsigned long long vote(WarpOp op, unsigned mask, int predicate, const Site& site) {
  return warp_operation({op, mask, predicate != 0 ? 1ull : 0ull}, site);
}

}  // namespace simt

// References: a kernel reads them and cannot set them.
inline const uint3& threadIdx = simt::builtins.thread;
inline const uint3& blockIdx = simt::builtins.block;
inline const dim3& blockDim = simt::builtins.block_extent;
inline const dim3& gridDim = simt::builtins.grid_extent;
/// Not usable in a constant expression, as in CUDA.
extern const int warpSize;

inline void __syncthreads(simt::Site site = simt::Site::current()) { simt::block_barrier(site); }
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Site site = simt::Site::current()) {
  simt::warp_operation({simt::WarpOp::kSync, mask}, site);
}
inline void __threadfence() { simt::fence(); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source_lane, int width = 32,
              simt::Site site = simt::Site::current()) {
  return simt::shuffle(simt::WarpOp::kShuffle, mask, value, source_lane, width, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  simt::Site site = simt::Site::current()) {
  return simt::shuffle(simt::WarpOp::kShuffleXor, mask, value, lane_mask, width, site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Site site = simt::Site::current()) {
  return simt::shuffle(simt::WarpOp::kShuffleUp, mask, value, static_cast<int>(delta), width, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Site site = simt::Site::current()) {
  return simt::shuffle(simt::WarpOp::kShuffleDown, mask, value, static_cast<int>(delta), width,
                       site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              simt::Site site = simt::Site::current()) {
  return static_cast<unsigned>(simt::vote(simt::WarpOp::kBallot, mask, predicate, site));
}
inline int __any_sync(unsigned mask, int predicate, simt::Site site = simt::Site::current()) {
  return static_cast<int>(simt::vote(simt::WarpOp::kAny, mask, predicate, site));
}
inline int __all_sync(unsigned mask, int predicate, simt::Site site = simt::Site::current()) {
  return static_cast<int>(simt::vote(simt::WarpOp::kAll, mask, predicate, site));
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, simt::Site site = simt::Site::current()) {
  return static_cast<unsigned>(
      simt::warp_operation({simt::WarpOp::kMatchAny, mask, simt::to_bits(value), sizeof(T)}, site));
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
/// The lowest set bit, counted from 1; 0 if there is none.
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
/// c and the products of the signed bytes of a and b.
inline int __dp4a(int a, int b, int c) {
  unsigned sum = static_cast<unsigned>(c);
  for (int shift = 0; shift < 32; shift += 8) {
    const int product = static_cast<signed char>(a >> shift) * static_cast<signed char>(b >> shift);
    sum += static_cast<unsigned>(product);
  }
  return static_cast<int>(sum);
}
inline unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
