// A collector as bytes. All numbers are little-endian.
//
//   magic "CUQATCOL", version u32, dtype u8, granularity kind u8, coarsened u8, 0 u8, axis i32,
//   rank u32, extents i64 each, number of scales u64,
//   for each scale: count, nan, pos_inf, neg_inf, zeros i64, min, max f64, number of values u64,
//     values ascending (f64 for f64 data, else f32), counts as LEB128,
//   FNV-1a (64 bits) of everything before.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "calibration/collector_state.hpp"

namespace cuqat {
namespace {

using calibration::Accumulator;
using calibration::Distribution;

constexpr std::string_view kMagic = "CUQATCOL";
constexpr std::uint32_t kVersion = 1;
static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

std::uint64_t fnv1a(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325u;
  for (const std::byte byte : bytes) {
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x0000'0100'0000'01b3u;
  }
  return hash;
}

class Writer {
 public:
  template <typename T>
  void put(T value) {
    const auto* begin = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), begin, begin + sizeof(T));
  }
  void put_text(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
  }
  void put_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::byte>(value | 0x80));
    bytes_.push_back(static_cast<std::byte>(value));
  }
  std::vector<std::byte> finish() {
    put(fnv1a(bytes_));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

[[noreturn]] void damaged(const std::string& what) {
  throw DataError("saved collector is damaged: " + what);
}

/// Bytes are taken only where they are; sizes are compared by what is left, never added up.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  template <typename T>
  T take() {
    if (rest_.size() < sizeof(T)) damaged("it ends early");
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  std::uint64_t take_varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = take<std::uint8_t>();
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damaged("a count has more than 64 bits");
  }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

void put_scale(Writer& out, const Statistics& s, const Distribution& values, DType dtype) {
  for (const std::int64_t n : {s.count, s.nan, s.pos_inf, s.neg_inf, s.zeros}) out.put(n);
  out.put(s.min);
  out.put(s.max);
  out.put(static_cast<std::uint64_t>(values.size()));
  for (const double value : values.values) {
    if (dtype == DType::kF64) {
      out.put(value);
    } else {
      out.put(static_cast<float>(value));
    }
  }
  for (const std::uint64_t count : values.counts) out.put_varint(count);
}

Statistics take_statistics(Reader& in) {
  Statistics s;
  for (std::int64_t* n : {&s.count, &s.nan, &s.pos_inf, &s.neg_inf, &s.zeros}) {
    *n = in.take<std::int64_t>();
    if (*n < 0) damaged("a count is negative");
  }
  s.min = in.take<double>();
  s.max = in.take<double>();
  // Parts are taken away from the whole, so that no sum can overflow.
  std::int64_t finite = s.count;
  for (const std::int64_t part : {s.nan, s.pos_inf, s.neg_inf}) {
    if (part > finite) damaged("its counts contradict each other");
    finite -= part;
  }
  if (s.zeros > finite) damaged("its counts contradict each other");
  const bool range_is_right =
      finite > 0 ? std::isfinite(s.min) && std::isfinite(s.max) && s.min <= s.max
                 : s.min == std::numeric_limits<double>::infinity() && s.max == -s.min;
  if (!range_is_right) damaged("its extremes contradict its counts");
  return s;
}

Distribution take_values(Reader& in, const Statistics& s, DType dtype, bool coarse) {
  const auto num_values = in.take<std::uint64_t>();
  const std::size_t value_bytes = dtype == DType::kF64 ? sizeof(double) : sizeof(float);
  // Each value takes value_bytes and at least one byte of count.
  if (num_values > in.left() / (value_bytes + 1)) damaged("it has fewer values than it says");
  Distribution result;
  result.values.reserve(num_values);
  result.counts.reserve(num_values);
  for (std::uint64_t i = 0; i < num_values; ++i) {
    const double value =
        dtype == DType::kF64 ? in.take<double>() : static_cast<double>(in.take<float>());
    if (!std::isfinite(value) || (value == 0.0 && std::signbit(value))) {
      damaged("a value is not finite");
    }
    if (i > 0 && value <= result.values.back()) damaged("its values are not ascending");
    if (coarse && calibration::coarsened(value, dtype) != value) {
      damaged("a value is not a coarsened one");
    }
    result.values.push_back(value);
  }
  auto left = static_cast<std::uint64_t>(s.finite());
  for (std::uint64_t i = 0; i < num_values; ++i) {
    const std::uint64_t count = in.take_varint();
    if (count == 0 || count > left) damaged("its counts contradict each other");
    left -= count;
    result.counts.push_back(count);
  }
  if (left != 0) damaged("its counts contradict each other");
  const auto zero = std::lower_bound(result.values.begin(), result.values.end(), 0.0);
  const auto at_zero = zero != result.values.end() && *zero == 0.0
                           ? result.counts[static_cast<std::size_t>(zero - result.values.begin())]
                           : 0;
  const auto zeros = static_cast<std::uint64_t>(s.zeros);
  // Tiny f32 numbers are coarsened to 0.
  if (coarse ? zeros > at_zero : zeros != at_zero) damaged("its zeros contradict its values");
  if (!coarse && num_values > 0 &&
      (result.values.front() != s.min || result.values.back() != s.max)) {
    damaged("its extremes contradict its values");
  }
  return result;
}

struct Header {
  DType dtype;
  Granularity granularity;
  bool coarse;
  std::vector<std::int64_t> shape;
};

Header take_header(Reader& in) {
  for (const char c : kMagic) {
    if (in.take<char>() != c) damaged("it does not begin with \"CUQATCOL\"");
  }
  const auto version = in.take<std::uint32_t>();
  if (version != kVersion) {
    throw DataError("saved collector has version " + std::to_string(version) +
                    ": this library reads version " + std::to_string(kVersion));
  }
  const auto dtype = in.take<std::uint8_t>();
  const auto kind = in.take<std::uint8_t>();
  const auto coarse = in.take<std::uint8_t>();
  if (dtype > static_cast<std::uint8_t>(DType::kBF16) ||
      kind > static_cast<std::uint8_t>(Granularity::Kind::kChannel) || coarse > 1 ||
      in.take<std::uint8_t>() != 0) {
    damaged("its header has an unknown code");
  }
  Header header{static_cast<DType>(dtype), {}, coarse == 1, {}};
  header.granularity.kind = static_cast<Granularity::Kind>(kind);
  header.granularity.axis = in.take<std::int32_t>();
  const auto rank = in.take<std::uint32_t>();
  if (rank > Shape::kMaxRank) damaged("its rank is " + std::to_string(rank));
  for (std::uint32_t i = 0; i < rank; ++i) {
    header.shape.push_back(in.take<std::int64_t>());
    if (header.shape.back() < 0) damaged("an extent is negative");
  }
  return header;
}

}  // namespace

std::vector<std::byte> CalibrationCollector::save() const {
  state_->accumulator.settle();
  const Accumulator& data = state_->accumulator;
  Writer out;
  out.put_text(kMagic);
  out.put(kVersion);
  out.put(static_cast<std::uint8_t>(data.dtype));
  out.put(static_cast<std::uint8_t>(data.granularity.kind));
  out.put(static_cast<std::uint8_t>(data.overflowed));
  out.put(std::uint8_t{0});
  out.put(static_cast<std::int32_t>(data.granularity.axis));
  out.put(static_cast<std::uint32_t>(shape().size()));
  for (const std::int64_t extent : shape()) out.put(extent);
  out.put(static_cast<std::uint64_t>(data.statistics.size()));
  for (std::size_t i = 0; i < data.statistics.size(); ++i) {
    put_scale(out, data.statistics[i], data.values[i], data.dtype);
  }
  return out.finish();
}

CalibrationCollector CalibrationCollector::load(std::span<const std::byte> state) {
  if (state.size() < sizeof(std::uint64_t)) damaged("it ends early");
  const auto body = state.first(state.size() - sizeof(std::uint64_t));
  Reader in(body);
  const Header header = take_header(in);
  Reader checksum(state.last(sizeof(std::uint64_t)));
  if (checksum.take<std::uint64_t>() != fnv1a(body)) damaged("its checksum does not match");
  CalibrationCollector result(header.dtype, header.granularity);
  Accumulator& data = result.state_->accumulator;
  data.overflowed = header.coarse;
  const auto num_scales = in.take<std::uint64_t>();
  constexpr std::size_t kScaleBytes = 8 * sizeof(std::int64_t);
  if (num_scales > in.left() / kScaleBytes) damaged("it has fewer scales than it says");
  const bool one_expected = header.granularity.kind == Granularity::Kind::kTensor;
  if (one_expected && num_scales != 1) damaged("a tensor has one scale");
  data.resize(num_scales);
  std::int64_t total = 0;
  for (std::uint64_t i = 0; i < num_scales; ++i) {
    data.statistics[i] = take_statistics(in);
    if (__builtin_add_overflow(total, data.statistics[i].count, &total)) {
      damaged("its counts are past 2^63 - 1");
    }
    data.values[i] = take_values(in, data.statistics[i], header.dtype, header.coarse);
  }
  if (in.left() != 0) damaged(std::to_string(in.left()) + " bytes too many");
  // Without extents is what has observed nothing, and a scalar, which has no channels.
  if (header.shape.empty() && total == 0) return result;
  std::int64_t elements = header.shape.empty() && !one_expected ? 0 : 1;
  for (const std::int64_t extent : header.shape) {
    if (__builtin_mul_overflow(elements, extent, &elements)) damaged("its shape is too large");
  }
  if (elements != total) damaged("its shape contradicts its counts");
  result.state_->shape = header.shape;
  return result;
}

}  // namespace cuqat
