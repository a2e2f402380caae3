#include "conformance/device_functions.hpp"

#include <cuda_runtime.h>

#include <initializer_list>
#include <span>

#include "conformance/device_arguments.hpp"
#include "conformance/device_products.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_equalization.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "cuqat/device_histogram.hpp"
#include "cuqat/device_percentile.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kMaskBytes = (kCount + 7) / 8;
constexpr GemmShape kProduct{25, 25, 40};
constexpr DynamicQuantization kByChannel{{}, Granularity::channel(0), false};

Argument input(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1) {
  return {name, Role::kInput, count, alignment};
}
Argument output(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1,
                std::vector<std::string_view> may_be = {}) {
  return {name, Role::kOutput, count, alignment, std::move(may_be)};
}
/// FakeQuantizeExtras.
Argument clip_mask() { return {"clip_mask", Role::kOutput, kMaskBytes, 1, {}, false, true}; }
Argument statistics_wanted() { return {"statistics", Role::kOutput, 1, 8, {}, false, true}; }
/// One for each of the 25 rows of an operand.
Argument of_rows(std::string_view name, std::size_t alignment = 4) {
  return {name, Role::kInput, 25, alignment, {}, false, true};
}
/// That the others are compared with.
Argument sizing(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1) {
  return {name, Role::kInput, count, alignment, {}, true};
}

std::vector<Function> product_functions(const DeviceContext& context, StreamRef stream) {
  return {
      {"int8_gemm",
       {input("x"), input("w"), output("product", 625, 4)},
       [&context, stream](const Values& v) {
         int8_gemm(v.span<const std::uint8_t>(0), v.span<const std::uint8_t>(1), kProduct,
                   v.span<std::int32_t>(2), context, stream);
       }},
      {"sum_code_rows",
       {input("codes"), {"sums", Role::kOutput, 25, 8, {}, true}},
       [&context, stream](const Values& v) {
         sum_code_rows(v.span<const std::uint8_t>(0), 40, v.span<std::int64_t>(1), context, stream);
       }},
      {"int8_linear",
       {input("x"), of_rows("x_params.scale"), of_rows("x_params.zero_point"), input("w"),
        of_rows("w_params.scale"), of_rows("w_params.zero_point"), of_rows("bias"),
        of_rows("w_sums", 8), output("y", 625)},
       [&context, stream](const Values& v) {
         int8_linear(v.span<const std::uint8_t>(0), v.params(1), v.span<const std::uint8_t>(3),
                     v.params(4), kProduct, v.f32(6), v.span<const std::int64_t>(7),
                     v.rows_of_25(8, 25), context, stream);
       }},
      {"int8_linear to codes",
       {input("x"),
        of_rows("x_params.scale"),
        of_rows("x_params.zero_point"),
        input("w"),
        of_rows("w_params.scale"),
        of_rows("w_params.zero_point"),
        of_rows("bias"),
        of_rows("w_sums", 8),
        input("y_params.scale", 1, 4),
        {"y_params.zero_point", Role::kInput, 1, 4, {}, false, true},
        output("codes", 625)},
       [&context, stream](const Values& v) {
         int8_linear(v.span<const std::uint8_t>(0), v.params(1), v.span<const std::uint8_t>(3),
                     v.params(4), kProduct, v.f32(6), v.span<const std::int64_t>(7),
                     v.tensor_params(8), v.span<std::uint8_t>(10), context, stream);
       }},
      {"fp8_linear",
       {input("x"), of_rows("x_params.scale"), input("w"), of_rows("w_params.scale"),
        of_rows("bias"), output("y", 625)},
       [&context, stream](const Values& v) {
         fp8_linear(v.span<const std::uint8_t>(0), v.scales_of(Format::kE4M3, 1),
                    v.span<const std::uint8_t>(2), v.scales_of(Format::kE5M2, 3), kProduct,
                    v.f32(4), v.rows_of_25(5, 25), context, stream);
       }},
      {"gemm",
       {input("a", kCount, 4), input("b", kCount, 4), output("y", 625, 4)},
       [&context, stream](const Values& v) {
         gemm(v.rows_of_25(0, 40), Transpose::kNo, v.rows_of_25(1, 40), Transpose::kYes,
              v.rows_of_25(2, 25), context, stream);
       }},
      {"linear",
       {input("x", kCount, 4), input("w", kCount, 4), of_rows("bias"), output("y", 625, 4)},
       [&context, stream](const Values& v) {
         linear(v.rows_of_25(0, 40), v.rows_of_25(1, 40), v.f32(2), v.rows_of_25(3, 25), context,
                stream);
       }},
      {"linear of 16 bits",
       {input("x", kCount, 2), input("w", kCount, 2), of_rows("bias"), output("y", 625, 2)},
       [&context, stream](const Values& v) {
         linear(v.rows_of_25(0, 40, DType::kBF16), v.rows_of_25(1, 40, DType::kBF16), v.f32(2),
                v.rows_of_25(3, 25, DType::kBF16), context, stream);
       }},
  };
}

}  // namespace

ArgumentMemory::ArgumentMemory() {
  constexpr std::size_t kMostArguments = 11;
  for (std::size_t i = 0; i < kMostArguments; ++i) {
    memory_.push_back(
        std::make_unique<DeviceMemory>(std::vector<float>(kBytes / sizeof(float), 1.0f)));
  }
}

Values ArgumentMemory::values(const Function& function) const {
  std::vector<void*> memory;
  std::vector<std::int64_t> counts;
  for (std::size_t i = 0; i < function.arguments.size(); ++i) {
    memory.push_back(memory_.at(i)->as<void>());
    counts.push_back(function.arguments[i].count);
  }
  return {std::move(memory), std::move(counts)};
}

std::vector<Function> device_functions(const DeviceContext& context, StreamRef stream,
                                       DeviceCalibrationCollector& collector) {
  const Argument scale = input("params.scale", kCount, 4);
  const Argument zero_point = input("params.zero_point", kCount, 4);
  const Argument zero_point_of_tensor{"params.zero_point", Role::kInput, 1, 4, {}, false, true};
  const Argument new_scale = output("scales.scale", kCount, 4);
  const Argument new_zero_point = output("scales.zero_point", kCount, 4);
  const std::vector<double> percentiles = {50.0, 99.0};
  std::vector<Function> all = {
      {"quantize",
       {sizing("x"), scale, zero_point, output("codes")},
       [&context, stream](const Values& v) {
         quantize(v.f32(0), v.params(1), v.span<std::uint8_t>(3), CodeLayout::kBytes, context,
                  stream);
       }},
      {"quantize with statistics",
       {sizing("x"), scale, zero_point, output("codes"), output("statistics", 1, 8)},
       [&context, stream](const Values& v) {
         quantize(v.f32(0), v.params(1), v.span<std::uint8_t>(3), CodeLayout::kBytes,
                  v.span<Statistics>(4), context, stream);
       }},
      {"quantize_transposed",
       {sizing("x"), input("params.scale", 1, 4), zero_point_of_tensor, output("codes"),
        output("codes_transposed")},
       [&context, stream](const Values& v) {
         quantize_transposed(v.matrix(0), v.tensor_params(1), v.span<std::uint8_t>(3),
                             v.span<std::uint8_t>(4), context, stream);
       }},
      {"dequantize",
       {input("codes"), scale, zero_point, {"y", Role::kOutput, kCount, 1, {}, true}},
       [&context, stream](const Values& v) {
         dequantize(v.span<const std::uint8_t>(0), v.params(1), v.f32(3), CodeLayout::kBytes,
                    context, stream);
       }},
      {"fake_quantize",
       {sizing("x"), scale, zero_point, output("y", kCount, 1, {"x"}), clip_mask(),
        statistics_wanted()},
       [&context, stream](const Values& v) {
         fake_quantize(v.f32(0), v.params(1), v.f32(3), v.extras(4), context, stream);
       }},
      {"FakeQuantizeBatch",
       {sizing("x"), scale, zero_point, output("y", kCount, 1, {"x"}), clip_mask()},
       [&context, stream](const Values& v) {
         const FakeQuantizeItem item{v.f32(0), v.params(1), v.f32(3), v.span<std::uint8_t>(4)};
         const FakeQuantizeBatch batch(std::span(&item, 1), context);
         batch.run(context, stream);
         // Before it is destroyed. A test may make any call fail.
         if (cudaStreamSynchronize(stream.get()) != cudaSuccess) {
           static_cast<void>(cudaGetLastError());
         }
       }},
      {"fake_quantize_backward",
       {input("dy"), sizing("x"), scale, zero_point, output("dx", kCount, 1, {"dy", "x"})},
       [&context, stream](const Values& v) {
         fake_quantize_backward(v.f32(0), v.f32(1), v.params(2), v.f32(4), context, stream);
       }},
      {"fake_quantize_backward from the mask",
       {sizing("dy"), input("clip_mask", kMaskBytes), output("dx", kCount, 1, {"dy"})},
       [&context, stream](const Values& v) {
         fake_quantize_backward(v.f32(0), v.span<const std::uint8_t>(1), v.f32(2), context, stream);
       }},
      {"learned_scale_backward",
       {input("dy"), sizing("x"), scale, zero_point, output("dx", kCount, 1, {"dy", "x"}),
        output("gradient.dscale", kCount, 4), output("gradient.dzero_point", kCount, 4)},
       [&context, stream](const Values& v) {
         learned_scale_backward(v.f32(0), v.f32(1), v.params(2), v.f32(4), {v.f32(5), v.f32(6)}, {},
                                context, stream);
       }},
      {"quantize_dynamic",
       {sizing("x"), output("codes"), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         quantize_dynamic(v.f32(0), kByChannel, v.span<std::uint8_t>(1), CodeLayout::kBytes,
                          v.scales(2), context, stream);
       }},
      {"fake_quantize_dynamic",
       {sizing("x"), output("y", kCount, 1, {"x"}), new_scale, new_zero_point, clip_mask(),
        statistics_wanted()},
       [&context, stream](const Values& v) {
         fake_quantize_dynamic(v.f32(0), kByChannel, v.f32(1), v.scales(2), v.extras(4), context,
                               stream);
       }},
      {"statistics of channels",
       {sizing("x"), output("result", kCount, 8)},
       [&context, stream](const Values& v) {
         statistics(v.f32(0), Granularity::channel(0), v.span<Statistics>(1), context, stream);
       }},
      {"quantization_error",
       {sizing("x"), scale, zero_point, input("statistics", kCount, 8),
        output("result", kCount, 8)},
       [&context, stream](const Values& v) {
         quantization_error(v.f32(0), v.params(1), v.span<const Statistics>(3),
                            v.span<QuantizationError>(4), context, stream);
       }},
      {"accumulate_key_histogram",
       {sizing("x"), output("counts", kNumKeys, 8), output("result", 1, 8)},
       [&context, stream](const Values& v) {
         accumulate_key_histogram(v.f32(0), v.span<std::uint64_t>(1), v.span<Statistics>(2),
                                  context, stream);
       }},
      {"percentile_ranges",
       {sizing("x"), output("result", 2, 8)},
       [&context, stream, percentiles](const Values& v) {
         percentile_ranges(v.f32(0), OrderBy::kMagnitude, percentiles, v.span<Range>(1), context,
                           stream);
       }},
      {"sorted_percentile_ranges",
       {sizing("x"), output("result", 2 * kCount, 8)},
       [&context, stream, percentiles](const Values& v) {
         sorted_percentile_ranges(v.f32(0), Granularity::channel(0), OrderBy::kValue, percentiles,
                                  v.span<Range>(1), context, stream);
       }},
      {"calibrate_scales",
       {sizing("x"), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         calibrate_scales(v.f32(0), Granularity::channel(0), {.symmetric = false}, v.scales(1),
                          context, stream);
       }},
      {"minmax_scales",
       {sizing("batch", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         minmax_scales(v.span<const Statistics>(0), {}, false, v.scales(1), context, stream);
       }},
      {"range_scales",
       {sizing("ranges", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         range_scales(v.span<const Range>(0), {}, false, v.scales(1), context, stream);
       }},
      {"update_moving_average",
       {sizing("batch", kCount, 8), output("state", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         update_moving_average(v.span<const Statistics>(0), 0.5, v.span<MovingAverageState>(1), {},
                               false, v.scales(2), context, stream);
       }},
      {"update_amax_history",
       {sizing("batch", kCount, 8), output("history.amax", 2 * kCount, 8),
        output("history.num_steps", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         update_amax_history(v.span<const Statistics>(0),
                             {v.span<double>(1), v.span<std::int64_t>(2)}, {}, 0, v.scales(3),
                             context, stream);
       }},
      {"equalization_factors",
       {sizing("activations", kCount, 8), input("weights", kCount, 8),
        output("factors", kCount, 4)},
       [&context, stream](const Values& v) {
         equalization_factors(v.span<const Statistics>(0), v.span<const Statistics>(1), 0.5,
                              v.f32(2), context, stream);
       }},
      {"divide_channels",
       {sizing("x"), input("factors", kCount, 4), output("y", kCount, 1, {"x"})},
       [&context, stream](const Values& v) {
         divide_channels(v.f32(0), 0, v.f32(1), v.f32(2), context, stream);
       }},
      {"multiply_channels",
       {sizing("x"), input("factors", kCount, 4), output("y", kCount, 1, {"x"})},
       [&context, stream](const Values& v) {
         multiply_channels(v.f32(0), 0, v.f32(1), v.f32(2), context, stream);
       }},
      {"output_error",
       {input("x"), input("w"), input("xq"), input("wq"), output("result", 1, 8)},
       [&context, stream](const Values& v) {
         output_error(v.rows_of_25(0, 40), v.rows_of_25(1, 40), v.rows_of_25(2, 40),
                      v.rows_of_25(3, 40), v.span<double>(4), context, stream);
       }},
      {"observe",
       {sizing("batch")},
       [&context, stream, &collector](const Values& v) {
         collector.observe(v.view(0, DType::kBF16), context, stream);
       }},
      {"observe_and_fake_quantize",
       {sizing("x"), scale, zero_point, output("y"), clip_mask()},
       [&context, stream, &collector](const Values& v) {
         collector.observe_and_fake_quantize(v.view(0, DType::kBF16), v.params(1),
                                             v.view(3, DType::kBF16), v.span<std::uint8_t>(4),
                                             context, stream);
       }},
  };
  if (!has_products()) return all;
  for (Function& function : product_functions(context, stream)) all.push_back(std::move(function));
  return all;
}

}  // namespace cuqat::test
