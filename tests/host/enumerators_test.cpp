// A value that its enumeration does not name is refused by everything that takes one.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr auto kNoFormat = static_cast<Format>(4);
constexpr auto kNoRounding = static_cast<Rounding>(2);
constexpr auto kNoDType = static_cast<DType>(255);
constexpr auto kNoKind = static_cast<Granularity::Kind>(3);

TEST(Enumerators, OfNoNameAreRefusedByAll) {
  std::vector<float> x(6, 1.0f);
  std::vector<float> y(6);
  std::vector<std::uint8_t> codes(6);
  std::vector<std::uint64_t> counts(kNumKeys);
  const std::array<std::int64_t, 1> ranks{0};
  const ConstTensorView view(x);
  const std::vector<ConstTensorView> batches{view};
  const ConstTensorView of_no_dtype(x.data(), kNoDType, Shape{6});
  const std::vector<ConstTensorView> batches_of_no_dtype{of_no_dtype};
  const QuantParams of_no_format{{kNoFormat}, {}, {1.0}, {}};
  const QuantParams of_no_rounding{{Format::kInt8, kNoRounding}, {}, {1.0}, {}};
  const QuantParams of_no_kind{{}, {kNoKind}, {1.0}, {}};
  const DynamicQuantization dynamic_of_no_format{{kNoFormat}, {}, true};
  const QatConfig config_of_no_format{.format = kNoFormat};

  struct Refused {
    std::string argument;
    std::function<void()> call;
  };
  const std::vector<Refused> all{
      {"params.quantizer.format is 4", [&] { quantize(view, of_no_format, codes); }},
      {"params.quantizer.rounding is 2", [&] { quantize(view, of_no_rounding, codes); }},
      {"granularity.kind is 3", [&] { fake_quantize(view, of_no_kind, y); }},
      {"x.dtype() is 255", [&] { quantize(of_no_dtype, {}, codes); }},
      {"layout is 2", [&] { quantize(view, {}, codes, static_cast<CodeLayout>(2)); }},
      {"layout is 2", [&] { dequantize(codes, {}, y, static_cast<CodeLayout>(2)); }},
      {"y.dtype() is 255",
       [&] {
         dequantize(codes, {}, {y.data(), kNoDType, Shape{6}});
       }},
      {"how.quantizer.format is 4", [&] { quantize_dynamic(view, dynamic_of_no_format, codes); }},
      {"granularity.kind is 3", [&] { static_cast<void>(statistics(view, {kNoKind})); }},
      {"granularity.kind is 3", [&] { static_cast<void>(num_scales({kNoKind}, Shape{6})); }},
      {"x.dtype() is 255", [&] { static_cast<void>(statistics(of_no_dtype)); }},
      {"x.dtype() is 255",
       [&] { accumulate_key_histogram(of_no_dtype, std::span<std::uint64_t, kNumKeys>(counts)); }},
      {"range is 2",
       [&] { accumulate_linear_histogram(view, 1.0, static_cast<BinRange>(2), counts); }},
      {"order is 2",
       [&] { static_cast<void>(order_statistics(batches, static_cast<OrderBy>(2), ranks)); }},
      {"quantizer.format is 4",
       [&] {
         static_cast<void>(range_to_scale({-1.0, 1.0}, {kNoFormat}, true, DType::kF32));
       }},
      {"dtype is 255",
       [&] {
         static_cast<void>(range_to_scale({-1.0, 1.0}, {}, true, kNoDType));
       }},
      {"dtype is 255", [&] { const CalibrationCollector collector(kNoDType); }},
      {"granularity.kind is 3",
       [&] { const CalibrationCollector collector(DType::kF32, {kNoKind}); }},
      {"method is 5",
       [&] {
         static_cast<void>(calibrate_layer(batches, {.method = static_cast<CalibMethod>(5)}));
       }},
      {"format is 4", [&] { static_cast<void>(calibrate_layer(batches, {.format = kNoFormat})); }},
      {"rounding is 2",
       [&] { static_cast<void>(calibrate_layer(batches, {.rounding = kNoRounding})); }},
      {"dialect is 3",
       [&] {
         static_cast<void>(calibrate_layer(batches, {.dialect = static_cast<EntropyDialect>(3)}));
       }},
      {"dtype() is 255", [&] { static_cast<void>(calibrate_layer(batches_of_no_dtype, {})); }},
      {"config.format is 4",
       [&] { static_cast<void>(quantize_model_weights(view, config_of_no_format)); }},
  };
  for (const Refused& refused : all) {
    SCOPED_TRACE(refused.argument);
    expect_invalid(refused.call, {refused.argument, "enumeration"});
  }
}

}  // namespace
}  // namespace cuqat::test
