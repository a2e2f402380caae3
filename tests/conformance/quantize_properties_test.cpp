// Properties of quantize, fake quantize and its gradient, for any data and on every backend.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "conformance/properties.hpp"

namespace cuqat::test {
namespace {

class QuantizeProperty : public Property {};

INSTANTIATE_TEST_SUITE_P(EveryBackend, QuantizeProperty, testing::ValuesIn(all_tables()),
                         [](const auto& param) { return test_name(param.param); });

TEST_P(QuantizeProperty, FakeQuantizeOfIntegersIsIdempotent) {
  check([] {
    const auto q = any_integer_quantization(Rounding::kNearestEven);
    const Values once = fake(table(), DType::kF32, q, any_values()).y;
    RC_ASSERT(same(fake(table(), DType::kF32, q, once).y, once));
  });
}

TEST_P(QuantizeProperty, FakeQuantizeOfFp8WithScaleOneIsIdempotent) {
  check([] {
    const Quantization q{{.format = *rc::gen::element(Format::kE4M3, Format::kE5M2),
                          .saturate = *rc::gen::arbitrary<bool>()},
                         1,
                         0};
    const DType dtype = any_dtype();
    const Values once = fake(table(), dtype, q, any_values()).y;
    RC_ASSERT(same(fake(table(), dtype, q, once).y, once));
  });
}

TEST_P(QuantizeProperty, FakeQuantizeIsMonotone) {
  check([] {
    Values x = finite_values();
    std::sort(x.begin(), x.end());
    const Values y = fake(table(), any_dtype(), any_quantization(), x).y;
    RC_ASSERT(std::is_sorted(y.begin(), y.end()));
  });
}

TEST_P(QuantizeProperty, FakeQuantizeErrsByHalfAScaleAtMostInRange) {
  check([] {
    const auto q =
        any_integer_quantization(*rc::gen::element(Rounding::kNearestEven, Rounding::kOriginal));
    const Values x = finite_values();
    const FakeQuantized result = fake(table(), DType::kF64, q, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (result.clipped[i]) continue;
      RC_ASSERT(std::fabs(x[i] - result.y[i]) <=
                q.scale / 2 * (1 + 1e-12) + std::fabs(x[i]) * 1e-15);
    }
  });
}

TEST_P(QuantizeProperty, FakeQuantizeToFp8ErrsByASixteenthOrHalfAStepAtMost) {
  check([] {
    const double scale = any_scale();
    const Values x = finite_values();
    const FakeQuantized result =
        fake(table(), DType::kF64, {{.format = Format::kE4M3}, scale, 0}, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (result.clipped[i]) continue;
      const double bound = std::max(std::fabs(x[i]) / 16, 0x1p-10 * scale);
      RC_ASSERT(std::fabs(x[i] - result.y[i]) <= bound * (1 + 1e-12));
    }
  });
}

TEST_P(QuantizeProperty, ZeroIsExact) {
  check([] {
    const auto q = any_quantization();
    const FakeQuantized result =
        fake(table(), any_dtype(), q, Values(*rc::gen::inRange<std::size_t>(1, 80), 0.0));
    RC_ASSERT(same(result.y, Values(result.y.size(), 0.0)));
    RC_ASSERT(std::count(result.clipped.begin(), result.clipped.end(), true) == 0);
  });
}

TEST_P(QuantizeProperty, NegativeZeroIsPlusZeroInIntegersAndKeptInFp8) {
  check([] {
    const auto q = any_quantization();
    const Values y = fake(table(), any_dtype(), q, Values(5, -0.0)).y;
    RC_ASSERT(same(y, Values(5, is_integer(q.quantizer.format) ? 0.0 : -0.0)));
  });
}

TEST_P(QuantizeProperty, NaNStaysNaNAndNothingElseBecomesOne) {
  check([] {
    const Values x = any_values();
    const FakeQuantized result = fake(table(), DType::kF32, any_quantization(), x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      RC_ASSERT(std::isnan(result.y[i]) == std::isnan(x[i]));
      RC_ASSERT(!std::isnan(x[i]) || result.clipped[i]);
    }
  });
}

TEST_P(QuantizeProperty, CodesAreInRangeAndNaNIsTheZeroPoint) {
  check([] {
    const auto q =
        any_integer_quantization(*rc::gen::element(Rounding::kNearestEven, Rounding::kOriginal));
    const Values x = any_values();
    const auto codes = quantize(table(), DType::kF32, q.quantizer, q.scale, q.zero_point, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto code = static_cast<std::int8_t>(codes[i]);
      RC_ASSERT(code >= qmin(q.quantizer) && code <= qmax(q.quantizer));
      RC_ASSERT(!std::isnan(x[i]) ||
                code == std::max(q.zero_point, std::int32_t{qmin(q.quantizer)}));
    }
  });
}

TEST_P(QuantizeProperty, ClippedElementsAreAtAnEndOfTheRange) {
  check([] {
    const auto q = any_integer_quantization(Rounding::kNearestEven);
    const Values x = any_values();
    const FakeQuantized result = fake(table(), DType::kF64, q, x);
    const double low = (qmin(q.quantizer) - q.zero_point) * q.scale;
    const double high = (qmax(q.quantizer) - q.zero_point) * q.scale;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (result.clipped[i] && !std::isnan(x[i])) {
        RC_ASSERT(result.y[i] == low || result.y[i] == high);
      }
    }
  });
}

TEST_P(QuantizeProperty, DequantizeUndoesQuantizeForEveryCode) {
  check([] {
    const auto q = any_integer_quantization(Rounding::kNearestEven);
    const auto bytes = *rc::gen::container<std::vector<int>>(
        rc::gen::inRange(qmin(q.quantizer), qmax(q.quantizer) + 1));
    std::vector<std::uint8_t> codes(bytes.begin(), bytes.end());
    const Values y =
        dequantize(table(), DType::kF32, q.quantizer, q.scale, q.zero_point, codes, codes.size());
    RC_ASSERT(quantize(table(), DType::kF32, q.quantizer, q.scale, q.zero_point, y) == codes);
  });
}

TEST_P(QuantizeProperty, NibblesSurviveUnpackingAndPacking) {
  check([] {
    const Quantizer int4{.format = Format::kInt4};
    auto packed = *rc::gen::arbitrary<std::vector<std::uint8_t>>();
    std::size_t count = packed.size() * 2;
    if (!packed.empty() && *rc::gen::arbitrary<bool>()) {
      --count;
      packed.back() &= 0x0f;
    }
    const Values y =
        dequantize(table(), DType::kF64, int4, 0.75, -2, packed, count, CodeLayout::kNibbles);
    RC_ASSERT(quantize(table(), DType::kF64, int4, 0.75, -2, y, CodeLayout::kNibbles) == packed);
  });
}

TEST_P(QuantizeProperty, NibblesAreTheLowBitsOfTheBytes) {
  check([] {
    const Quantizer int4{.format = Format::kInt4};
    const Values x = any_values();
    const double scale = any_scale();
    const auto bytes = quantize(table(), DType::kF32, int4, scale, 1, x);
    const auto packed = quantize(table(), DType::kF32, int4, scale, 1, x, CodeLayout::kNibbles);
    for (std::size_t i = 0; i < x.size(); ++i) {
      RC_ASSERT((packed[i / 2] >> (i % 2 * 4) & 0xf) == (bytes[i] & 0xf));
    }
  });
}

TEST_P(QuantizeProperty, GradientIsDyExactlyWhereTheMaskSaysInRange) {
  check([] {
    const auto q = any_quantization();
    const Values x = any_values();
    Values dy(x.size());
    for (double& value : dy) value = f32(*any_number());
    const FakeQuantized forward = fake(table(), DType::kF32, q, x);
    const Flat tensor(DType::kF32, static_cast<std::int64_t>(x.size()), q.quantizer, q.scale,
                      q.zero_point);
    const Bytes input = to_bytes(DType::kF32, x), gradient = to_bytes(DType::kF32, dy);
    Bytes output(input.size());
    table()->fake_quantize_backward(*tensor, gradient.data(), input.data(), output.data());
    const Values dx = to_doubles(DType::kF32, output);
    for (std::size_t i = 0; i < x.size(); ++i)
      RC_ASSERT(same(dx[i], forward.clipped[i] ? 0.0 : dy[i]));
  });
}

TEST_P(QuantizeProperty, FakeQuantizeOfAPowerOfTwoScaleScalesWithIt) {
  check([] {
    const auto q = any_integer_quantization(Rounding::kNearestEven);
    Values x = *rc::gen::container<Values>(ordinary_number());
    const Values y = fake(table(), DType::kF32, q, x).y;
    for (double& value : x) value *= 8;
    Values scaled = fake(table(), DType::kF32, {q.quantizer, q.scale * 8, q.zero_point}, x).y;
    for (double& value : scaled) value /= 8;
    RC_ASSERT(same(scaled, y));
  });
}

TEST_P(QuantizeProperty, FakeQuantizeWithoutZeroPointIsOddInTheNarrowRange) {
  check([] {
    const Quantizer q{.format = *rc::gen::element(Format::kInt8, Format::kInt4),
                      .narrow_range = true};
    const Quantization quantization{q, any_scale(), 0};
    Values x = finite_values();
    const Values y = fake(table(), DType::kF32, quantization, x).y;
    for (double& value : x) value = -value;
    const Values mirrored = fake(table(), DType::kF32, quantization, x).y;
    for (std::size_t i = 0; i < x.size(); ++i) RC_ASSERT(mirrored[i] == -y[i]);
  });
}

}  // namespace
}  // namespace cuqat::test
