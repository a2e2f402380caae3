// Atomics of integers. Those of floats are missing on purpose: their sum depends on the order.
//
// They order nothing, as in CUDA: a thread sanitizer sees relaxed atomics. In the random order a
// thread may be set aside before each of them, so that loops around atomicCAS meet a changed value.
#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace simt {

/// Lets other threads run, now and then.
void preempt();
inline void before_atomic() {
  if (builtins.preempt_at_atomics) preempt();
}

template <class T, class... Allowed>
concept OneOf = (std::same_as<T, Allowed> || ...);
template <class T>
concept AtomicWord = OneOf<T, int, unsigned, unsigned long long>;
template <class T>
concept AtomicOrdered = AtomicWord<T> || OneOf<T, long long>;

template <class T, class Function>
T atomic_update(T* address, Function function) {
  before_atomic();
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(address, &old, function(old), true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
  return old;
}

}  // namespace simt

// The value's type is not deduced, so it converts to the address's, as with CUDA's overloads.
template <simt::AtomicWord T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  simt::before_atomic();
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
template <simt::AtomicWord T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  simt::before_atomic();
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
template <simt::AtomicWord T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  simt::before_atomic();
  return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);
}
template <simt::AtomicWord T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  simt::before_atomic();
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
template <simt::AtomicWord T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  simt::before_atomic();
  __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <simt::AtomicOrdered T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [value](T old) { return std::min(old, value); });
}
template <simt::AtomicOrdered T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [value](T old) { return std::max(old, value); });
}
