// What ml_dtypes and PyTorch answer, against every backend. The arrays are found by name, so that
// another file of the same form can take the place of tests/data/elementwise_peers.safetensors.
//
// The file's int8_gemm arrays have no counterpart in cuqat yet and are not read.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "support/backends.hpp"
#include "support/elements.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

GoldenFile& peers() {
  static GoldenFile file = [] {
    const char* other = std::getenv("CUQAT_PEERS_ELEMENTWISE");
    return GoldenFile(other != nullptr ? other
                                       : CUQAT_TEST_DATA_DIR "/elementwise_peers.safetensors");
  }();
  return file;
}

/// The names between a prefix and a suffix: "tensor0", "tensor1", ...
std::vector<std::string> names_between(std::string_view prefix, std::string_view suffix) {
  std::vector<std::string> result;
  for (const std::string& name : peers().names()) {
    if (name.starts_with(prefix) && name.ends_with(suffix)) {
      result.push_back(name.substr(prefix.size(), name.size() - prefix.size() - suffix.size()));
    }
  }
  return result;
}

template <typename T>
std::vector<T> values(const std::string& name, std::string_view dtype) {
  const GoldenArray& array = peers().array(name);
  EXPECT_EQ(array.dtype, dtype) << name;
  std::vector<T> result(array.bytes.size() / sizeof(T));
  if (!result.empty()) std::memcpy(result.data(), array.bytes.data(), array.bytes.size());
  return result;
}

class Peers : public testing::TestWithParam<Table> {};

INSTANTIATE_TEST_SUITE_P(EveryBackend, Peers, testing::ValuesIn(all_tables()),
                         [](const auto& param) { return test_name(param.param); });

struct CastSource {
  DType dtype;
  std::string input;
};

CastSource cast_source(const std::string& type) {
  if (type == "bfloat16") return {DType::kBF16, "cast.bfloat16.input_bits"};
  if (type == "float16") return {DType::kF16, "cast.float16.input_bits"};
  EXPECT_EQ(type, "float32");
  return {DType::kF32, "cast.float32.input"};
}

void expect_casts(Table table, const std::string& type, Format format, const std::string& codes) {
  const CastSource source = cast_source(type);
  const GoldenArray& input = peers().array(source.input);
  const auto expected = values<std::uint8_t>(codes, "U8");
  ASSERT_EQ(input.bytes.size(), expected.size() * dtype_bytes(source.dtype));
  detail::ScaledTensor tensor;
  const float one = 1.0f;
  const std::int32_t zero = 0;
  tensor.dtype = source.dtype;
  tensor.shape = Shape{static_cast<std::int64_t>(expected.size())};
  tensor.scale = &one;
  tensor.zero_point = &zero;
  std::vector<std::uint8_t> open(expected.size());
  std::vector<std::uint8_t> saturated(expected.size());
  tensor.quantizer = {.format = format, .saturate = false};
  table->quantize(tensor, input.bytes.data(), open.data(), CodeLayout::kBytes);
  tensor.quantizer.saturate = true;
  table->quantize(tensor, input.bytes.data(), saturated.data(), CodeLayout::kBytes);
  const double past = format == Format::kE4M3 ? 464.0 : 61440.0;
  std::size_t in_range = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double x = load_element(source.dtype, input.bytes.data(), i);
    ASSERT_EQ(open[i], expected[i]) << codes << " [" << i << "], x = " << x;
    if (!(format == Format::kE4M3 ? std::fabs(x) <= past : std::fabs(x) < past)) continue;
    ASSERT_EQ(saturated[i], expected[i]) << codes << " [" << i << "], x = " << x;
    ++in_range;
  }
  EXPECT_GT(in_range, expected.size() / 8);
}

TEST_P(Peers, CastsAreThoseOfMlDtypes) {
  std::size_t casts = 0;
  for (const std::string& middle : names_between("cast.", "_bits")) {
    const std::size_t at = middle.find(".ml_dtypes.");
    if (at == std::string::npos) continue;
    const std::string target = middle.substr(at + std::strlen(".ml_dtypes."));
    ASSERT_TRUE(target == "float8_e4m3fn" || target == "float8_e5m2") << target;
    const Format format = target == "float8_e5m2" ? Format::kE5M2 : Format::kE4M3;
    expect_casts(GetParam(), middle.substr(0, at), format, "cast." + middle + "_bits");
    ++casts;
  }
  EXPECT_GT(casts, 0u);
}

/// PyTorch multiplies by 1 / scale where cuqat divides: they may part only beside a tie.
bool beside_a_tie(double x, double scale) {
  const double quotient = x / scale;
  const double from_tie = std::fabs(quotient - std::floor(quotient) - 0.5);
  return from_tie <= 1e-6 * std::fabs(quotient);
}

struct FakeQuantCase {
  std::string prefix;
  Quantizer quantizer;
  Granularity granularity;
  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
};

void expect_fake_quant(Table table, const FakeQuantCase& c) {
  const auto x = values<float>(c.prefix + ".x", "F32");
  const auto dy = values<float>(c.prefix + ".dy", "F32");
  const auto expected_y = values<float>(c.prefix + ".y", "F32");
  const auto expected_dx = values<float>(c.prefix + ".dx", "F32");
  detail::ScaledTensor tensor;
  tensor.shape = Shape(std::span<const std::int64_t>(peers().array(c.prefix + ".x").shape));
  tensor.granularity = c.granularity;
  tensor.quantizer = c.quantizer;
  tensor.scale = c.scale.data();
  tensor.zero_point = c.zero_point.data();
  tensor.num_scales = static_cast<std::int64_t>(c.scale.size());
  tensor.num_threads = 2;
  std::vector<float> y(x.size()), dx(x.size());
  table->fake_quantize(tensor, x.data(), y.data(), nullptr);
  table->fake_quantize_backward(tensor, dy.data(), x.data(), dx.data());
  std::int64_t inner = 1;
  for (int axis = c.granularity.axis + 1; axis < tensor.shape.rank(); ++axis) {
    inner *= tensor.shape[axis];
  }
  std::size_t exceptions = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (y[i] == expected_y[i] && dx[i] == expected_dx[i]) continue;
    const auto channel =
        static_cast<std::size_t>(static_cast<std::int64_t>(i) / inner) % c.scale.size();
    EXPECT_TRUE(beside_a_tie(static_cast<double>(x[i]), static_cast<double>(c.scale[channel])))
        << c.prefix << " [" << i << "], x = " << x[i] << ", y " << y[i] << " for " << expected_y[i]
        << ", dx " << dx[i] << " for " << expected_dx[i];
    ++exceptions;
  }
  // Ties are rare: what many elements part on is no tie.
  EXPECT_LE(exceptions, x.size() / 100 + 1) << c.prefix;
}

/// The quantizer that has as many codes, and what its codes are above the peer's: unsigned codes
/// with a zero point are signed ones with another.
struct CodeRange {
  Quantizer quantizer;
  std::int64_t shift = 0;
};

CodeRange code_range(std::int64_t low, std::int64_t high) {
  for (const Format format : {Format::kInt8, Format::kInt4}) {
    for (const bool narrow : {false, true}) {
      const Quantizer q{.format = format, .narrow_range = narrow};
      if (qmax(q) - qmin(q) == high - low) return {q, qmin(q) - low};
    }
  }
  ADD_FAILURE() << "no format has the codes " << low << " to " << high;
  return {};
}

TEST_P(Peers, FakeQuantizePerTensorIsPyTorchs) {
  const auto names = names_between("fake_quant.tensor", ".x");
  ASSERT_FALSE(names.empty());
  for (const std::string& number : names) {
    const std::string prefix = "fake_quant.tensor" + number;
    const auto range = values<std::int64_t>(prefix + ".zero_point_qmin_qmax", "I64");
    ASSERT_EQ(range.size(), 3u);
    const double scale = values<double>(prefix + ".scale", "F64").at(0);
    const CodeRange codes = code_range(range[1], range[2]);
    const auto zero_point = static_cast<std::int32_t>(range[0] + codes.shift);
    expect_fake_quant(GetParam(), {prefix,
                                   codes.quantizer,
                                   Granularity::tensor(),
                                   {static_cast<float>(scale)},
                                   {zero_point}});
  }
}

TEST_P(Peers, FakeQuantizePerChannelIsPyTorchs) {
  const auto names = names_between("fake_quant.channel_axis", ".x");
  ASSERT_FALSE(names.empty());
  for (const std::string& axis : names) {
    const std::string prefix = "fake_quant.channel_axis" + axis;
    expect_fake_quant(GetParam(), {prefix, Quantizer{}, Granularity::channel(std::stoi(axis)),
                                   values<float>(prefix + ".scale", "F32"),
                                   values<std::int32_t>(prefix + ".zero_point", "I32")});
  }
}

TEST_P(Peers, LearnedScaleIsNearPyTorchs) {
  const auto x = values<float>("lsq.x", "F32");
  const auto dy = values<float>("lsq.dy", "F32");
  const auto expected_y = values<float>("lsq.y", "F32");
  const auto expected_dx = values<float>("lsq.dx", "F32");
  const float scale = values<float>("lsq.scale", "F32").at(0);
  const float zero = values<float>("lsq.zero_point", "F32").at(0);
  const auto zero_point = static_cast<std::int32_t>(std::nearbyint(zero));
  detail::ScaledTensor tensor;
  tensor.shape = Shape{static_cast<std::int64_t>(x.size())};
  tensor.scale = &scale;
  tensor.zero_point = &zero_point;
  std::vector<float> y(x.size()), dx(x.size());
  const double g = 1 / std::sqrt(static_cast<double>(x.size()) * 127);
  double dscale = 0;
  double dzero_point = 0;
  GetParam()->fake_quantize(tensor, x.data(), y.data(), nullptr);
  GetParam()->learned_scale_backward(tensor, dy.data(), x.data(), dx.data(), &g, &dscale,
                                     &dzero_point);
  double terms = 0;
  double zero_terms = 0;
  double parted = 0;
  std::size_t exceptions = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double wide = static_cast<double>(x[i]);
    const double gradient = std::fabs(static_cast<double>(dy[i]));
    terms += gradient * (std::fabs(wide / static_cast<double>(scale)) + 1);
    zero_terms += gradient * static_cast<double>(scale);
    if (y[i] == expected_y[i] && dx[i] == expected_dx[i]) continue;
    EXPECT_TRUE(beside_a_tie(wide, static_cast<double>(scale))) << "lsq [" << i << "]";
    // The two round to neighbouring codes.
    parted += gradient;
    ++exceptions;
  }
  EXPECT_LE(exceptions, x.size() / 100 + 1);
  // The peer adds f32 terms in f32: the bound is sum |term| times a few units in the last place.
  const double peer_dscale = static_cast<double>(values<float>("lsq.dscale", "F32").at(0));
  const double peer_dzero = static_cast<double>(values<float>("lsq.dzero_point", "F32").at(0));
  EXPECT_NEAR(dscale, peer_dscale, g * (terms * 0x1p-20 + parted));
  EXPECT_NEAR(dzero_point, peer_dzero, g * zero_terms * 0x1p-20);
}

}  // namespace
}  // namespace cuqat::test
