// The product of what stands in for cuBLASLt: one thread, from the definitions of the numbers.
#include "cublaslt.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace simt {
namespace {

double decode_fp8(unsigned code, const int mantissa_bits, const int bias) {
  const unsigned rest = code & 0x7fu;
  const int fraction = static_cast<int>(rest & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>(rest >> mantissa_bits);
  double size = exponent == 0
                    ? std::ldexp(fraction, 1 - bias - mantissa_bits)
                    : std::ldexp(fraction + (1 << mantissa_bits), exponent - bias - mantissa_bits);
  if (mantissa_bits == 3 && rest == 0x7f) size = std::numeric_limits<double>::quiet_NaN();
  if (mantissa_bits == 2 && exponent == 31) {
    size = fraction == 0 ? std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  return (code & 0x80u) != 0 ? -size : size;
}

double decode_half(unsigned bits) {
  const int fraction = static_cast<int>(bits & 0x3ffu);
  const int exponent = static_cast<int>(bits >> 10 & 0x1fu);
  double size =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
  if (exponent == 31) {
    size = fraction == 0 ? std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000u) != 0 ? -size : size;
}

/// Number i of a matrix.
double load(cudaDataType_t type, const void* data, std::int64_t i) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[i];
    case CUDA_R_32F:
      return static_cast<const float*>(data)[i];
    case CUDA_R_16F:
      return decode_half(static_cast<const std::uint16_t*>(data)[i]);
    case CUDA_R_16BF: {
      const auto bits = static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(data)[i])
                        << 16;
      float value = 0.0f;
      std::memcpy(&value, &bits, sizeof(value));
      return value;
    }
    case CUDA_R_8I:
      return static_cast<const std::int8_t*>(data)[i];
    case CUDA_R_8F_E4M3:
      return decode_fp8(static_cast<const std::uint8_t*>(data)[i], 3, 7);
    default:
      return decode_fp8(static_cast<const std::uint8_t*>(data)[i], 2, 15);
  }
}

/// To nearest even, by the float's own rounding: a number is added whose last place is the
/// result's.
std::uint16_t narrow(float value, int mantissa_bits, int least_exponent, float largest) {
  const bool is_half = mantissa_bits == 10;
  const std::uint16_t sign = std::signbit(value) ? 0x8000u : 0u;
  const std::uint16_t infinity = is_half ? 0x7c00u : 0x7f80u;
  if (std::isnan(value)) return 0x7fffu;
  double size = std::fabs(static_cast<double>(value));
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | infinity);
  int exponent = 0;
  static_cast<void>(std::frexp(size, &exponent));
  const double unit = std::ldexp(1.0, std::max(exponent - 1, least_exponent) - mantissa_bits);
  size = std::nearbyint(size / unit) * unit;
  if (size > largest) return static_cast<std::uint16_t>(sign | infinity);
  const double smallest = std::ldexp(1.0, least_exponent);
  if (size < smallest) {
    return static_cast<std::uint16_t>(
        sign | static_cast<unsigned>(std::ldexp(size, mantissa_bits - least_exponent)));
  }
  static_cast<void>(std::frexp(size, &exponent));
  const auto fraction =
      static_cast<unsigned>(std::ldexp(size, mantissa_bits + 1 - exponent)) - (1u << mantissa_bits);
  const auto biased = static_cast<unsigned>(exponent - least_exponent);
  return static_cast<std::uint16_t>(sign | biased << mantissa_bits | fraction);
}

template <typename Sum>
void store(cudaDataType_t type, void* data, std::int64_t i, Sum sum) {
  if (type == CUDA_R_32I) {
    static_cast<std::int32_t*>(data)[i] = static_cast<std::int32_t>(sum);
  } else if (type == CUDA_R_64F) {
    static_cast<double*>(data)[i] = static_cast<double>(sum);
  } else if (type == CUDA_R_32F) {
    static_cast<float*>(data)[i] = static_cast<float>(sum);
  } else {
    const auto value = static_cast<float>(sum);
    static_cast<std::uint16_t*>(data)[i] = type == CUDA_R_16F
                                               ? narrow(value, 10, -14, 65504.0f)
                                               : narrow(value, 7, -126, std::ldexp(255.0f, 120));
  }
}

/// TF32 has 11 bits of a number.
double shortened(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::isfinite(value) ? std::ldexp(std::nearbyint(std::ldexp(fraction, 11)), exponent - 11)
                              : value;
}

/// One number of D, whose sum is of type Sum; integers wrap.
template <typename Sum>
void multiply(const Problem& p, const ProductWay& way, const void* a, const void* b, void* d,
              std::int64_t row, std::int64_t column) {
  const bool a_transposed = p.operation.transpose_a == CUBLAS_OP_T;
  const bool b_transposed = p.operation.transpose_b == CUBLAS_OP_T;
  const bool shortens = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const std::int64_t in_d = column * p.d.stride + row;
  Sum sum{};
  for (std::int64_t step = 0; step < p.k; ++step) {
    const std::int64_t i = way.backwards ? p.k - 1 - step : step;
    const std::int64_t in_a = a_transposed ? row * p.a.stride + i : i * p.a.stride + row;
    const std::int64_t in_b = b_transposed ? i * p.b.stride + column : column * p.b.stride + i;
    if constexpr (std::is_integral_v<Sum>) {
      const int product =
          static_cast<const std::int8_t*>(a)[in_a] * static_cast<const std::int8_t*>(b)[in_b];
      sum += static_cast<Sum>(product);
      continue;
    }
    double left = load(p.a.type, a, in_a);
    double right = load(p.b.type, b, in_b);
    if (shortens) {
      left = shortened(left);
      right = shortened(right);
    }
    sum += static_cast<Sum>(left) * static_cast<Sum>(right);
    if (way.sums_in_d) {
      store(p.d.type, d, in_d, sum);
      sum = static_cast<Sum>(load(p.d.type, d, in_d));
    }
  }
  store(p.d.type, d, in_d, sum);
}

__global__ void product_kernel(Problem p, ProductWay way, const void* a, const void* b, void* d,
                               unsigned char* workspace) {
  for (std::uint64_t i = 0; i < way.workspace_bytes; ++i) workspace[i] = 0xa5;
  for (std::int64_t column = 0; column < p.n; ++column) {
    for (std::int64_t row = 0; row < p.m; ++row) {
      if (p.operation.compute == CUBLAS_COMPUTE_32I) {
        multiply<std::uint32_t>(p, way, a, b, d, row, column);
      } else if (p.operation.compute == CUBLAS_COMPUTE_64F) {
        multiply<double>(p, way, a, b, d, row, column);
      } else {
        multiply<float>(p, way, a, b, d, row, column);
      }
    }
  }
}

}  // namespace

cudaError_t launch_product(const Problem& problem, const ProductWay& way, const void* a,
                           const void* b, void* d, void* workspace, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(1);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, &product_kernel, problem, way, a, b, d,
                            static_cast<unsigned char*>(workspace));
}

}  // namespace simt
