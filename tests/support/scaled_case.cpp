#include "support/scaled_case.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <ostream>

#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

/// The pattern of an element, moved by `steps` units in the last place.
void nudge(DType dtype, void* data, std::size_t index, int steps) {
  const std::size_t width = dtype_bytes(dtype);
  auto* address = static_cast<std::byte*>(data) + index * width;
  std::uint64_t pattern = 0;
  std::memcpy(&pattern, address, width);
  pattern += static_cast<std::uint64_t>(static_cast<std::int64_t>(steps));
  std::memcpy(address, &pattern, width);
}

double largest(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return std::numeric_limits<float>::max();
    case DType::kF64:
      return std::numeric_limits<double>::max();
    case DType::kF16:
      return decode(kBinary16, largest_pattern(kBinary16));
    case DType::kBF16:
      return decode(kBFloat16, largest_pattern(kBFloat16));
  }
  return 0.0;
}

double smallest_normal(DType dtype) {
  if (dtype == DType::kF64) return std::numeric_limits<double>::min();
  return dtype == DType::kF16 ? 0x1p-14 : 0x1p-126;
}

std::int32_t draw_zero_point(Random& random, const Quantizer& quantizer) {
  if (!is_integer(quantizer.format)) return 0;
  if (quantizer.narrow_range && random() % 2 == 0) return 0;
  constexpr std::array<std::int32_t, 6> kWild = {300,
                                                 -1000,
                                                 33'554'431,
                                                 -(std::int32_t{1} << 24) - 1,
                                                 std::numeric_limits<std::int32_t>::max(),
                                                 std::numeric_limits<std::int32_t>::min()};
  // Only the original convention takes a zero point that is no code.
  if (quantizer.rounding == Rounding::kOriginal && random() % 8 == 0) {
    return kWild[random() % kWild.size()];
  }
  const int low = qmin(quantizer);
  const auto codes = static_cast<std::uint64_t>(qmax(quantizer) - low + 1);
  return low + static_cast<std::int32_t>(random() % codes);
}

}  // namespace

const char* to_string(DataKind kind) {
  constexpr std::array<const char*, kNumDataKinds> kNames = {
      "normal",     "uniform",    "ties",      "zeros",   "negative_zeros",
      "constant",   "not_finite", "subnormal", "extreme", "tiny_scale",
      "huge_scale", "any_bits",   "mixed"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::ostream& operator<<(std::ostream& stream, const ScaledCase& c) {
  stream << to_string(c.quantizer.format) << ' ' << to_string(c.quantizer.rounding)
         << (c.quantizer.narrow_range ? " narrow" : "") << (c.quantizer.saturate ? " saturate" : "")
         << ' ' << to_string(c.dtype) << " [";
  for (const std::int64_t extent : c.shape.extents()) stream << extent << ',';
  stream << "] ";
  if (c.granularity.kind == Granularity::Kind::kChannel) stream << "axis " << c.granularity.axis;
  if (c.granularity.kind == Granularity::Kind::kGroup) {
    stream << "groups of " << c.granularity.group_size;
  }
  return stream << ' ' << to_string(c.data) << ", " << c.num_threads << " threads, seed " << c.seed;
}

std::size_t scale_index(const Shape& shape, const Granularity& granularity, std::int64_t index) {
  if (granularity.kind == Granularity::Kind::kTensor) return 0;
  if (granularity.kind == Granularity::Kind::kChannel) {
    std::int64_t inner = 1;
    for (int axis = granularity.axis + 1; axis < shape.rank(); ++axis) inner *= shape[axis];
    return static_cast<std::size_t>(index / inner % shape[granularity.axis]);
  }
  const std::int64_t last = shape[shape.rank() - 1];
  // Not through last + group_size, which no longer fits for the largest groups. There is an
  // element, so last > 0.
  const std::int64_t groups = (last - 1) / granularity.group_size + 1;
  return static_cast<std::size_t>(index / last * groups + index % last / granularity.group_size);
}

CaseData::CaseData(const ScaledCase& test_case) : case_(test_case) {
  Random random(test_case.seed);
  make_scales(random);
  make_elements(random);
}

void CaseData::make_scales(Random& random) {
  const auto scales = static_cast<std::size_t>(cuqat::num_scales(case_.granularity, case_.shape));
  const bool wide = case_.dtype == DType::kF64;
  for (std::size_t i = 0; i < scales; ++i) {
    // About three standard deviations of the normal elements are in range. FP8 elements reach the
    // format's range a few times in a hundred.
    double scale = 3.0 / qmax(case_.quantizer) * random.uniform(0.5, 1.5);
    if (!is_integer(case_.quantizer.format)) scale = random.uniform(0.001, 0.02);
    if (random() % 4 == 0) scale = std::exp2(std::floor(std::log2(scale)));
    if (case_.data == DataKind::kTinyScale)
      scale = random.uniform(0.5, 2) * (wide ? 1e-308 : 1e-38);
    if (case_.data == DataKind::kHugeScale)
      scale = random.uniform(0.5, 1.1) * (wide ? 1e308 : 3e38);
    if (!wide) scale = static_cast<double>(static_cast<float>(scale));
    scale_.push_back(scale);
    narrow_scale_.push_back(wide ? 0.0f : static_cast<float>(scale));
    zero_point_.push_back(draw_zero_point(random, case_.quantizer));
  }
}

double CaseData::tie(Random& random, std::size_t element) const {
  const std::size_t index = scale_of(element);
  const Quantizer& q = case_.quantizer;
  if (is_integer(q.format)) {
    const auto steps = static_cast<std::uint64_t>(qmax(q) - qmin(q) + 5);
    const double code = qmin(q) - 2 + static_cast<double>(random() % steps);
    const bool near = std::abs(static_cast<double>(zero_point_[index])) < 1000;
    return (code + 0.5 - (near ? zero_point_[index] : 0)) * scale_[index];
  }
  const SmallFloat& type = q.format == Format::kE4M3 ? kE4M3 : kE5M2;
  const auto pattern = static_cast<std::uint32_t>(random() % (largest_pattern(type) + 1));
  const double low = decode(type, pattern);
  const double step = pattern == largest_pattern(type) ? low - decode(type, pattern - 1)
                                                       : decode(type, pattern + 1) - low;
  return (random() % 2 == 0 ? -1 : 1) * (low + step / 2) * scale_[index];
}

void CaseData::make_elements(Random& random) {
  const DType dtype = case_.dtype;
  x_.resize(count() * dtype_bytes(dtype));
  dy_.resize(x_.size());
  const double constant = random.normal();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::array<double, 4> special = {std::nan(""), infinity, -infinity, -0.0};
  for (std::size_t i = 0; i < count(); ++i) {
    DataKind kind = case_.data;
    if (kind == DataKind::kMixed) kind = static_cast<DataKind>(random() % (kNumDataKinds - 1));
    double value = random.normal();
    double gradient = random() % 64 == 0 ? 0.0 : random.normal();
    if (kind == DataKind::kUniform) value = random.uniform(-4, 4);
    if (kind == DataKind::kTies) value = tie(random, i);
    if (kind == DataKind::kZeros) value = random() % 2 == 0 ? 0.0 : -0.0;
    if (kind == DataKind::kNegativeZeros) value = -0.0;
    if (kind == DataKind::kConstant) value = constant;
    if (kind == DataKind::kNotFinite && random() % 2 == 0) {
      value = special[random() % special.size()];
      if (random() % 8 == 0) gradient = special[random() % special.size()];
    }
    if (kind == DataKind::kSubnormal) value *= smallest_normal(dtype) / 4;
    if (kind == DataKind::kExtreme) value = std::copysign(largest(dtype), value);
    if (kind == DataKind::kTinyScale || kind == DataKind::kHugeScale) {
      value *= scale_[scale_of(i)] * (random() % 2 == 0 ? 1 : qmax(case_.quantizer) * 0.4);
    }
    store_element(dtype, x_.data(), i, value);
    store_element(dtype, dy_.data(), i, gradient);
    if (kind == DataKind::kTies) nudge(dtype, x_.data(), i, static_cast<int>(random() % 3) - 1);
    if (kind == DataKind::kAnyBits) {
      const std::uint64_t bits = random();
      const std::size_t width = dtype_bytes(dtype);
      std::memcpy(x_.data() + i * width, &bits, width);
      const std::uint64_t gradient_bits = random();
      if (random() % 8 == 0) std::memcpy(dy_.data() + i * width, &gradient_bits, width);
    }
  }
}

detail::ScaledTensor CaseData::scaled() const {
  detail::ScaledTensor tensor;
  tensor.dtype = case_.dtype;
  tensor.shape = case_.shape;
  tensor.granularity = case_.granularity;
  tensor.quantizer = case_.quantizer;
  tensor.scale = case_.dtype == DType::kF64 ? static_cast<const void*>(scale_.data())
                                            : static_cast<const void*>(narrow_scale_.data());
  tensor.zero_point = zero_point_.data();
  tensor.num_scales = static_cast<std::int64_t>(scale_.size());
  tensor.num_threads = case_.num_threads;
  return tensor;
}

std::vector<double> CaseData::amax() const {
  std::vector<double> result(num_scales(), 0.0);
  for (std::size_t i = 0; i < count(); ++i) {
    const double value = std::fabs(load_element(case_.dtype, x_.data(), i));
    double& largest_so_far = result[scale_of(i)];
    if (std::isfinite(value) && value > largest_so_far) largest_so_far = value;
  }
  return result;
}

}  // namespace cuqat::test
