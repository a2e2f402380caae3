// Products of codes, in pieces that the scratch memory holds: rows and outputs of y, and past
// kMaxInt32Depth parts of k, whose sums are added in int64.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "dispatch.hpp"
#include "gemm_cut.hpp"
#include "gemm_epilogue.cuh"
#include "gemm_operands.cuh"
#include "launch.hpp"
#include "launchers.hpp"
#include "products.hpp"

namespace cuqat::gpu {
namespace {

/// A product of codes on the way to y.
class PiecewiseProduct {
 public:
  PiecewiseProduct(const CodeProduct& product, const Cut& cut, const Scratch& scratch,
                   Multiplier& multiplier, const LaunchTarget& target)
      : product_(product),
        cut_(cut),
        places_(places(cut)),
        memory_(static_cast<char*>(scratch.data)),
        multiplier_(multiplier),
        target_(target) {}

  template <typename T>
  [[nodiscard]] T* at(std::size_t place) const {
    return reinterpret_cast<T*>(memory_ + place);
  }
  [[nodiscard]] const Places& places_of() const { return places_; }

  /// body(first row, rows, first output, outputs) for each piece.
  template <typename Body>
  void for_each_piece(const Body& body) {
    const auto& [m, n, k] = product_.shape;
    for (std::int64_t output = 0; output < n; output += cut_.outputs) {
      const std::int64_t outputs = std::min(cut_.outputs, n - output);
      w_is_copied_ = false;
      for (std::int64_t row = 0, rows = 0; row < m; row += rows) {
        rows = std::min(cut_.rows, m - row);
        if (cut_.keeps_few_together() && m - row - rows <= kFewRows) rows = m - row;
        body(row, rows, output, outputs);
      }
    }
  }

  /// Sums of a piece, of all k: to `sums`, `stride` apart, or past kMaxInt32Depth to the deep ones.
  void multiply(std::int64_t row, std::int64_t rows, std::int64_t output, std::int64_t outputs,
                void* sums, std::int64_t stride) {
    const std::int64_t k = product_.shape.k;
    for (std::int64_t first = 0; first < k; first += cut_.depth) {
      const std::int64_t depth = std::min(cut_.depth, k - first);
      const std::int64_t padded_rows = cut_.padded_rows(rows);
      const std::int64_t padded_outputs = cut_.padded_outputs(outputs);
      const Operand x = operand({product_.x + row * k + first, k, rows, depth}, product_.x_type,
                                padded_rows, cut_.copies_x, false, at<std::uint8_t>(places_.x));
      const Operand w =
          operand({product_.w + output * k + first, k, outputs, depth}, product_.w_type,
                  padded_outputs, cut_.copies_w, w_is_copied_, at<std::uint8_t>(places_.w));
      w_is_copied_ = !cut_.is_deep;
      const NumberType type = cut_.is_fp8 ? NumberType::kF32 : NumberType::kInt32;
      multiplier_.multiply({{padded_rows, padded_outputs, round_up(depth, kDepthUnit)},
                            x,
                            {w.type, w.data, w.stride, true},
                            type,
                            sums,
                            stride},
                           target_);
      if (cut_.is_deep) add_part(rows * stride, first == 0);
    }
  }

 private:
  /// Codes as they are, or their copy.
  Operand operand(const CodeBlock& block, NumberType type, std::int64_t padded_rows, bool copies,
                  bool is_copied, std::uint8_t* copy) const {
    if (!copies) return {type, block.codes, block.stride, false};
    const std::int64_t stride = round_up(block.columns, kDepthUnit);
    if (!is_copied) {
      const std::int64_t packs_per_row = stride / kPackElements;
      const std::int64_t num_packs = padded_rows * packs_per_row;
      launch_streaming(num_packs, 1, 0, target_, &pad_codes_kernel, block, num_packs,
                       Divider(packs_per_row), packs_per_row, copy);
    }
    return {type, copy, stride, false};
  }

  void add_part(std::int64_t count, bool is_first) const {
    const auto run = [&](auto kernel) {
      launch_streaming(count, 1, 0, target_, kernel, count, at<const std::int32_t>(places_.sums),
                       at<std::int64_t>(places_.deep_sums));
    };
    if (is_first) return run(&add_part_kernel<true>);
    run(&add_part_kernel<false>);
  }

  CodeProduct product_;
  Cut cut_;
  Places places_;
  char* memory_;
  Multiplier& multiplier_;
  const LaunchTarget& target_;
  bool w_is_copied_ = false;
};

/// Scales and zero points from a row on, without sums.
EpilogueOperand operand_from(const RowScales& scales, DType compute, std::int64_t row) {
  const std::int64_t first = scales.one_for_each_row ? row : 0;
  const auto* const scale = static_cast<const char*>(scales.scale);
  return {scale + first * static_cast<std::int64_t>(dtype_bytes(compute)),
          scales.zero_point == nullptr ? nullptr : scales.zero_point + first, nullptr,
          scales.one_for_each_row ? 1 : 0};
}

/// What becomes of y, and where it goes.
struct OutputPlace {
  DType dtype;
  CodesOfOutputs codes;
  void* y;
};

/// body(what the kernel makes of y), of numbers or codes.
template <typename Sum, typename Body>
void with_output(const OutputPlace& place, const Body& body) {
  constexpr bool kIsFp8 = std::is_same_v<Sum, float>;
  if (place.codes.scale == nullptr) {
    return with_type(place.dtype, [&](auto type) {
      using T = typename decltype(type)::Type;
      if constexpr (!(kIsFp8 && std::is_same_v<T, double>)) body(NumbersOfOutputs<T>{});
    });
  }
  if constexpr (!kIsFp8) {
    with_quantizer(place.codes.quantizer, [&](const auto& quantizer) {
      using Q = std::decay_t<decltype(quantizer)>;
      if constexpr (is_integer(Q::kFormat)) {
        body(CodesOfNumbers<Q>{quantizer, static_cast<const float*>(place.codes.scale),
                               place.codes.zero_point});
      }
    });
  }
}

template <typename Sum, bool kHasZeroPoints>
void launch_epilogue_of(const Epilogue& epilogue, const void* sums, const OutputPlace& place,
                        const LaunchTarget& target) {
  with_output<Sum>(place, [&](const auto& output) {
    using Output = std::decay_t<decltype(output)>;
    launch_streaming(epilogue.num_items(), 1, 0, target,
                     &gemm_epilogue_kernel<Output, Sum, kHasZeroPoints>, epilogue,
                     static_cast<const Sum*>(sums), output, place.y);
  });
}

/// What `sums` are is known from the cut; they may be null.
void launch_epilogue(const Cut& cut, const Epilogue& epilogue, const void* sums,
                     const OutputPlace& place, const LaunchTarget& target) {
  const bool has_zero_points = epilogue.x.zero_point != nullptr || epilogue.w.zero_point != nullptr;
  if (cut.is_fp8) {
    launch_epilogue_of<float, false>(epilogue, sums, place, target);
  } else if (cut.is_deep) {
    launch_epilogue_of<std::int64_t, true>(epilogue, sums, place, target);
  } else if (has_zero_points) {
    launch_epilogue_of<std::int32_t, true>(epilogue, sums, place, target);
  } else {
    launch_epilogue_of<std::int32_t, false>(epilogue, sums, place, target);
  }
}

}  // namespace

void launch_int8_gemm(const CodeProduct& product, std::int32_t* y, const Scratch& scratch,
                      Multiplier& multiplier, const LaunchTarget& target) {
  const auto& [m, n, k] = product.shape;
  if (m == 0 || n == 0) return;
  if (k == 0) {
    check(cudaMemsetAsync(y, 0, static_cast<std::size_t>(m * n) * sizeof(*y), target.stream),
          "cudaMemsetAsync", target.operation);
    return;
  }
  const Cut cut = cut_to(uncut(product, y), scratch.bytes);
  PiecewiseProduct pieces(product, cut, scratch, multiplier, target);
  pieces.for_each_piece(
      [&, n = n](std::int64_t row, std::int64_t rows, std::int64_t output, std::int64_t outputs) {
        std::int32_t* const to = y + row * n + output;
        if (!cut.writes_sums) {
          pieces.multiply(row, rows, output, outputs, to, n);
          return;
        }
        auto* const sums = pieces.at<std::int32_t>(pieces.places_of().sums);
        const std::int64_t stride = cut.padded_outputs(outputs);
        pieces.multiply(row, rows, output, outputs, sums, stride);
        launch_streaming(rows * outputs, 1, 0, target, &gather_rows_kernel, rows, outputs, stride,
                         Divider(outputs), sums, to, n);
      });
}

void launch_linear(const LinearLayer& layer, const Scratch& scratch, Multiplier& multiplier,
                   const LaunchTarget& target) {
  const CodeProduct& product = layer.product;
  const auto& [m, n, k] = product.shape;
  if (m == 0 || n == 0) return;
  const DType compute = layer.dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const bool makes_codes = layer.codes.scale != nullptr;
  const auto y_bytes = static_cast<std::int64_t>(makes_codes ? 1 : dtype_bytes(layer.dtype));
  const auto compute_bytes = static_cast<std::int64_t>(dtype_bytes(compute));
  const Cut cut = cut_to(uncut(product, nullptr), scratch.bytes);
  PiecewiseProduct pieces(product, cut, scratch, multiplier, target);
  const Places& places = pieces.places_of();
  pieces.for_each_piece([&, n = n, k = k](std::int64_t row, std::int64_t rows, std::int64_t output,
                                          std::int64_t outputs) {
    Epilogue epilogue{};
    epilogue.rows = rows;
    epilogue.columns = outputs;
    epilogue.sums_stride = cut.padded_outputs(outputs);
    epilogue.y_stride = n;
    epilogue.depth = k;
    epilogue.x = operand_from(layer.x, compute, row);
    epilogue.w = operand_from(layer.w, compute, output);
    if (layer.bias != nullptr) {
      epilogue.bias = static_cast<const char*>(layer.bias) + output * compute_bytes;
    }
    epilogue.packs_per_row = (outputs + kPackElements - 1) / kPackElements;
    epilogue.by_packs = Divider(epilogue.packs_per_row);
    if (layer.w.zero_point != nullptr) {
      auto* const sums = pieces.at<std::int64_t>(places.x_row_sums);
      launch_code_sums(rows, k, product.x + row * k, sums, target);
      epilogue.x.sum = sums;
    }
    if (layer.x.zero_point != nullptr) {
      auto* const sums = pieces.at<std::int64_t>(places.w_row_sums);
      if (layer.w_sums == nullptr && row == 0) {
        launch_code_sums(outputs, k, product.w + output * k, sums, target);
      }
      epilogue.w.sum = layer.w_sums == nullptr ? sums : layer.w_sums + output;
    }
    const void* sums = nullptr;
    if (k > 0) {
      auto* const found = pieces.at<std::int32_t>(places.sums);
      pieces.multiply(row, rows, output, outputs, found, epilogue.sums_stride);
      sums = cut.is_deep ? pieces.at<void>(places.deep_sums) : found;
    }
    char* const y = static_cast<char*>(layer.y) + (row * n + output) * y_bytes;
    launch_epilogue(cut, epilogue, sums, {layer.dtype, layer.codes, y}, target);
  });
}

void launch_code_sums(std::int64_t rows, std::int64_t columns, const std::uint8_t* codes,
                      std::int64_t* sums, const LaunchTarget& target) {
  if (rows == 0) return;
  launch_streaming(rows * kWarpThreads, 1, 0, target, &code_sums_kernel,
                   CodeBlock{codes, columns, rows, columns}, sums);
}

}  // namespace cuqat::gpu
