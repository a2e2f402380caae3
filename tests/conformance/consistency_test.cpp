// What the operations promise of one another, on every backend.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"

namespace cuqat::test {
namespace {

using Parameter = std::tuple<Format, DType, Table>;

std::string name_of(const testing::TestParamInfo<Parameter>& info) {
  const auto& [format, dtype, table] = info.param;
  return test_name(table) + "_" + std::string(to_string(format)) + "_" +
         test_name(std::string(to_string(dtype)));
}

class Consistency : public testing::TestWithParam<Parameter> {
 protected:
  /// A few layouts with every quantizer of the format.
  static std::vector<ScaledCase> some_cases(DataKind kind) {
    std::vector<ScaledCase> all;
    for (const Quantizer& q : quantizers(std::get<0>(GetParam()))) {
      const DType dtype = std::get<1>(GetParam());
      all.push_back({q, dtype, Shape{4099}, Granularity::tensor(), kind, 2, 11});
      all.push_back({q, dtype, Shape{7, 33, 12}, Granularity::channel(1), kind, 3, 12});
      all.push_back({q, dtype, Shape{9, 100}, Granularity::group(32), kind, 1, 13});
    }
    return all;
  }
  static Table table() { return std::get<2>(GetParam()); }
};

bool mask_bit(const Bytes& mask, std::size_t i) {
  return (std::to_integer<unsigned>(mask[i / 8]) >> i % 8 & 1) != 0;
}

const Bytes& find(const Outputs& outputs, const std::string& name) {
  for (const Output& output : outputs) {
    if (output.name == name) return output.content;
  }
  throw std::runtime_error("no output " + name);
}

TEST_P(Consistency, FakeQuantizeIsTheSameInPlaceAndWithoutMask) {
  for (const ScaledCase& c : some_cases(DataKind::kMixed)) {
    const Outputs outputs = run_fake_quantize(table(), CaseData(c), {});
    EXPECT_EQ(find(outputs, "y"), find(outputs, "y without mask")) << c;
    EXPECT_EQ(find(outputs, "y"), find(outputs, "y in place")) << c;
    EXPECT_EQ(find(outputs, "y"), find(outputs, "y in place without mask")) << c;
    EXPECT_EQ(find(outputs, "mask"), find(outputs, "mask in place")) << c;
  }
}

TEST_P(Consistency, MaskAndRecomputedGradientAgree) {
  for (const ScaledCase& c : some_cases(DataKind::kMixed)) {
    const CaseData data(c);
    const Bytes mask = find(run_fake_quantize(table(), data, {}), "mask");
    const Bytes dx = find(run_backward(table(), data, {}), "dx");
    Bytes from_mask(dx.size());
    table()->fake_quantize_backward_from_mask(c.dtype, c.shape.count(), data.dy().data(),
                                              reinterpret_cast<const std::uint8_t*>(mask.data()),
                                              from_mask.data(), c.num_threads);
    EXPECT_EQ(dx, from_mask) << c;
    EXPECT_EQ(dx, find(run_learned_scale(table(), data, {}), "dx")) << c;
  }
}

TEST_P(Consistency, TransposedCodesAreTheCodesTransposed) {
  for (const ScaledCase& c : some_cases(DataKind::kMixed)) {
    if (c.shape.rank() != 2) continue;
    const CaseData data(c);
    const Bytes codes = find(run_quantize(table(), data, {}), "codes");
    const Outputs both = run_quantize_transposed(table(), data, {});
    EXPECT_EQ(find(both, "codes"), codes) << c;
    EXPECT_EQ(find(both, "transposed"), find(both, "transposed alone")) << c;
    const auto rows = static_cast<std::size_t>(c.shape[0]);
    const auto columns = static_cast<std::size_t>(c.shape[1]);
    Bytes expected(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      expected[i % columns * rows + i / columns] = codes[i];
    }
    EXPECT_EQ(find(both, "transposed"), expected) << c;
  }
}

/// The definition of "clipped" by IEEE arithmetic in C.
template <typename C>
bool clipped(double element, double scale_value, std::int32_t zero_point, const Quantizer& q) {
  const C x = static_cast<C>(element);
  const C quotient = x / static_cast<C>(scale_value);
  if (std::isnan(x)) return true;
  if (q.format == Format::kE4M3) return !(std::fabs(quotient) <= C{464});
  if (q.format == Format::kE5M2) return !(std::fabs(quotient) < C{61440});
  const C zero = static_cast<C>(zero_point);
  const C code = q.rounding == Rounding::kNearestEven ? std::nearbyint(quotient) + zero
                                                      : std::round(quotient + zero);
  return !(code >= static_cast<C>(qmin(q)) && code <= static_cast<C>(qmax(q)));
}

TEST_P(Consistency, MaskIsTheDefinitionElementByElement) {
  for (const DataKind kind : {DataKind::kMixed, DataKind::kTies, DataKind::kHugeScale}) {
    for (const ScaledCase& c : some_cases(kind)) {
      const CaseData data(c);
      const Bytes mask = find(run_fake_quantize(table(), data, {}), "mask");
      for (std::size_t i = 0; i < data.count(); ++i) {
        const std::size_t s = data.scale_of(i);
        const double x = load_element(c.dtype, data.x().data(), i);
        const bool expected =
            c.dtype == DType::kF64
                ? clipped<double>(x, data.scale(s), data.zero_point(s), c.quantizer)
                : clipped<float>(x, data.scale(s), data.zero_point(s), c.quantizer);
        ASSERT_EQ(mask_bit(mask, i), expected) << c << ", element " << i << " = " << x;
      }
    }
  }
}

TEST_P(Consistency, FakeQuantizeIsDequantizeOfQuantize) {
  for (const ScaledCase& c : some_cases(DataKind::kMixed)) {
    const CaseData data(c);
    const Bytes y = find(run_fake_quantize(table(), data, {}), "y");
    const Bytes codes = find(run_quantize(table(), data, {}), "codes");
    Bytes twice(y.size());
    table()->dequantize(data.scaled(), reinterpret_cast<const std::uint8_t*>(codes.data()),
                        CodeLayout::kBytes, twice.data());
    for (std::size_t i = 0; i < data.count(); ++i) {
      // An integer code cannot say NaN.
      if (std::isnan(load_element(c.dtype, data.x().data(), i)) && is_integer(c.quantizer.format)) {
        continue;
      }
      const double once = load_element(c.dtype, y.data(), i);
      const double again = load_element(c.dtype, twice.data(), i);
      ASSERT_TRUE(once == again || (std::isnan(once) && std::isnan(again))) << c << ", at " << i;
    }
  }
}

TEST_P(Consistency, LearnedScaleIsNearThePlainFormulaInF64) {
  for (const ScaledCase& c : some_cases(DataKind::kUniform)) {
    if (c.quantizer.rounding == Rounding::kOriginal) continue;
    const CaseData data(c);
    const Bytes y = find(run_fake_quantize(table(), data, {}), "y");
    const Bytes mask = find(run_fake_quantize(table(), data, {}), "mask");
    // sum |term|, for the bound: each f32 term has at most 4 roundings of its parts.
    std::vector<double> sum(data.num_scales()), size(data.num_scales());
    std::vector<double> outside(data.num_scales()), n(data.num_scales());
    for (std::size_t i = 0; i < data.count(); ++i) {
      const std::size_t s = data.scale_of(i);
      const double x = load_element(c.dtype, data.x().data(), i);
      const double dy = load_element(c.dtype, data.dy().data(), i);
      const bool clip = mask_bit(mask, i);
      const bool above = x / data.scale(s) + data.zero_point(s) > 0;
      const double end = (above ? qmax(c.quantizer) : qmin(c.quantizer)) - data.zero_point(s);
      const double d = clip ? end : (load_element(c.dtype, y.data(), i) - x) / data.scale(s);
      sum[s] += dy * d;
      size[s] += std::fabs(dy) * (std::fabs(d) + std::fabs(x / data.scale(s)));
      outside[s] += clip ? dy : 0;
      n[s] += 1;
    }
    const Outputs outputs = run_learned_scale(table(), data, {});
    const auto dscale = to_doubles(DType::kF64, find(outputs, "dscale"));
    const auto dzero = to_doubles(DType::kF64, find(outputs, "dzero_point"));
    // y in its own type: 2^-8 (bf16), 2^-11 (f16); in C 2^-23.
    const double unit = c.dtype == DType::kBF16  ? 0x1p-8
                        : c.dtype == DType::kF16 ? 0x1p-11
                                                 : 0x1p-21;
    for (std::size_t s = 0; s < data.num_scales(); ++s) {
      const double g = 1 / std::sqrt(n[s] * qmax(c.quantizer));
      EXPECT_NEAR(dscale[s], g * sum[s], g * size[s] * unit) << c << ", scale " << s;
      if (!is_integer(c.quantizer.format)) continue;
      const double expected = -g * data.scale(s) * outside[s];
      EXPECT_NEAR(dzero[s], expected, 1e-6 * std::fabs(expected) + 1e-12) << c << ", scale " << s;
    }
  }
}

TEST_P(Consistency, ErrorsOfPartsMergeToTheErrorOfTheWhole) {
  for (const ScaledCase& whole : some_cases(DataKind::kMixed)) {
    if (whole.granularity.kind != Granularity::Kind::kTensor) continue;
    const CaseData data(whole);
    const std::vector<double> amax = data.amax();
    QuantizationError expected;
    table()->quantization_error(data.scaled(), data.x().data(), amax.data(), &expected);
    QuantizationError merged;
    std::size_t begin = 0;
    for (std::size_t part = 1; begin < data.count(); part = part * 3 + 1) {
      const std::size_t end = std::min(begin + part, data.count());
      detail::ScaledTensor tensor = data.scaled();
      tensor.shape = Shape{static_cast<std::int64_t>(end - begin)};
      QuantizationError e;
      table()->quantization_error(tensor, data.x().data() + begin * dtype_bytes(whole.dtype),
                                  amax.data(), &e);
      merged.count += e.count;
      merged.clipped += e.clipped;
      merged.rounding.merge(e.rounding);
      merged.clipping.merge(e.clipping);
      merged.signal.merge(e.signal);
      begin = end;
    }
    EXPECT_EQ(merged, expected) << whole;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryBackend, Consistency,
                         testing::Combine(testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes),
                                          testing::ValuesIn(all_tables())),
                         name_of);

}  // namespace
}  // namespace cuqat::test
