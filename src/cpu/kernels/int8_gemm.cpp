// Products of int8 codes, and what becomes of them.
#include <type_traits>

#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {

namespace {

/// `T`: of y. `Sum`: int32 wraps on its way to a number that it holds.
template <typename T, typename Sum, bool kPerOutput>
void outputs_loop(const Int8Outputs& outputs, void* y) {
  using C = scalar::ComputeType<T>;
  using Wrapping = std::make_unsigned_t<Sum>;
  const std::int64_t n = outputs.n;
  const auto x_scale = static_cast<C>(outputs.x_scale);
  const auto x_zero_point = static_cast<Wrapping>(outputs.x_zero_point);
  const auto x_sum = static_cast<Wrapping>(outputs.x_sum);
  const auto* const sums = static_cast<const Sum*>(outputs.sums);
  const auto* const w_term = static_cast<const Sum*>(outputs.w_term);
  const void* const bias = outputs.bias;  // at any address
  const auto* const w_scale = static_cast<const C*>(outputs.w_scale);
  const std::int32_t* const w_zero_point = outputs.w_zero_point;
  const C first_scale = x_scale * w_scale[0];
  const auto first_zero_point = static_cast<Wrapping>(w_zero_point[0]);
  const auto value = [=](std::int64_t i) {
    const Wrapping zero_point =
        kPerOutput ? static_cast<Wrapping>(w_zero_point[i]) : first_zero_point;
    const auto sum =
        static_cast<Sum>(static_cast<Wrapping>(sums[i]) +
                         x_zero_point * static_cast<Wrapping>(w_term[i]) - zero_point * x_sum);
    return (kPerOutput ? x_scale * w_scale[i] : first_scale) * static_cast<C>(sum);
  };
  if (bias == nullptr) {
    CUQAT_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) {
      store<T>(y, i, scalar::store_compute<T>(value(i)));
    }
    return;
  }
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    store<T>(y, i, scalar::store_compute<T>(value(i) + load<C>(bias, i)));
  }
}

}  // namespace

std::int32_t int8_dot(const std::int8_t* x, const std::int8_t* w, std::int64_t n) {
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::int32_t{x[i]} * w[i];
  return sum;
}

std::int64_t int8_sum(const std::int8_t* codes, std::int64_t n) {
  constexpr std::int64_t kChunk = 1 << 20;  // whose sum int32 holds
  std::int64_t all = 0;
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t end = n - begin < kChunk ? n : begin + kChunk;
    std::int32_t sum = 0;
    for (std::int64_t i = begin; i < end; ++i) sum += codes[i];
    all += sum;
  }
  return all;
}

void int8_outputs(DType dtype, const Int8Outputs& outputs, void* y) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    with_bool(outputs.w_per_output, [&](auto per_output) {
      constexpr bool kPerOutput = decltype(per_output)::value;
      with_bool(outputs.narrow, [&](auto narrow) {
        using Sum = std::conditional_t<decltype(narrow)::value, std::int32_t, std::int64_t>;
        outputs_loop<T, Sum, kPerOutput>(outputs, y);
      });
    });
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
