#include "conformance/operations.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <optional>
#include <sstream>

#include "conformance/workspace.hpp"

namespace cuqat::test {
namespace {

std::uint8_t* as_codes(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }
const std::uint8_t* as_codes(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}

Bytes random_bytes(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Bytes bytes(count);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::byte>(random() >> 56); });
  return bytes;
}

bool is_int4(const CaseData& data) { return data.parameters().quantizer.format == Format::kInt4; }

std::size_t nibble_bytes(const CaseData& data) { return (data.count() + 1) / 2; }
std::size_t mask_bytes(const CaseData& data) { return (data.count() + 7) / 8; }

std::vector<double> gradient_scales(const CaseData& data) {
  std::vector<std::int64_t> elements(data.num_scales(), 0);
  for (std::size_t i = 0; i < data.count(); ++i) ++elements[data.scale_of(i)];
  std::vector<double> result;
  for (const std::int64_t n : elements) {
    const double divisor = static_cast<double>(n) * qmax(data.parameters().quantizer);
    result.push_back(n == 0 ? 0.0 : 1.0 / std::sqrt(divisor));
  }
  return result;
}

/// The case's tensor as a matrix with the same scales for the same elements, if there is one.
std::optional<detail::ScaledTensor> as_matrix(const CaseData& data) {
  detail::ScaledTensor tensor = data.scaled();
  const Shape& shape = data.parameters().shape;
  if (shape.rank() == 2) return tensor;
  const std::int64_t count = shape.count();
  std::int64_t columns = 1;
  switch (tensor.granularity.kind) {
    case Granularity::Kind::kTensor:
      // As near to a square as there is; tall or wide.
      for (std::int64_t i = 2; i * i <= count; ++i) columns = count % i == 0 ? i : columns;
      if (count % 2 == 1 && columns > 0) columns = count / columns;
      break;
    case Granularity::Kind::kChannel:
      if (tensor.granularity.axis == 0) {
        columns = count / std::max<std::int64_t>(shape[0], 1);
      } else if (tensor.granularity.axis == shape.rank() - 1) {
        columns = shape[shape.rank() - 1];
        tensor.granularity.axis = 1;
      } else {
        return std::nullopt;
      }
      break;
    case Granularity::Kind::kGroup:
      columns = shape[shape.rank() - 1];
      break;
  }
  if (count == 0) return std::nullopt;
  tensor.shape = Shape{count / columns, columns};
  return tensor;
}

template <typename T>
Bytes pods_as_bytes(const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0, "no padding");
  return bytes_of(values);
}

}  // namespace

Outputs run_quantize(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  table->quantize(data.scaled(), x, as_codes(work.output("codes", data.count())),
                  CodeLayout::kBytes);
  if (is_int4(data)) {
    table->quantize(data.scaled(), x, as_codes(work.output("nibbles", nibble_bytes(data))),
                    CodeLayout::kNibbles);
  }
  return work.finish();
}

Outputs run_dequantize(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::size_t y_bytes = data.x().size();
  // Any byte is a code: a file may hold what quantize would not give.
  const Bytes codes = random_bytes(data.count(), data.parameters().seed);
  table->dequantize(data.scaled(), as_codes(work.input(codes)), CodeLayout::kBytes,
                    work.output("y", y_bytes));
  const Bytes nibbles = random_bytes(nibble_bytes(data), data.parameters().seed + 1);
  if (is_int4(data)) {
    table->dequantize(data.scaled(), as_codes(work.input(nibbles)), CodeLayout::kNibbles,
                      work.output("y of nibbles", y_bytes));
  }
  return work.finish();
}

Outputs run_fake_quantize(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  table->fake_quantize(data.scaled(), x, work.output("y", data.x().size()),
                       as_codes(work.output("mask", mask_bytes(data))));
  table->fake_quantize(data.scaled(), x, work.output("y without mask", data.x().size()), nullptr);
  std::byte* in_place = work.output("y in place", data.x());
  table->fake_quantize(data.scaled(), in_place, in_place,
                       as_codes(work.output("mask in place", mask_bytes(data))));
  std::byte* bare = work.output("y in place without mask", data.x());
  table->fake_quantize(data.scaled(), bare, bare, nullptr);
  return work.finish();
}

Outputs run_backward(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  table->fake_quantize_backward(data.scaled(), work.input(data.dy()), x,
                                work.output("dx", data.x().size()));
  std::byte* in_place = work.output("dx in place", data.dy());
  table->fake_quantize_backward(data.scaled(), in_place, x, in_place);
  return work.finish();
}

Outputs run_backward_from_mask(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const DType dtype = data.parameters().dtype;
  const int num_threads = data.parameters().num_threads;
  const auto count = static_cast<std::int64_t>(data.count());
  // Its spare bits too: a mask from elsewhere may have them, and they are no elements.
  const Bytes mask = random_bytes(mask_bytes(data), data.parameters().seed);
  const std::uint8_t* clipped = as_codes(work.input(mask));
  table->fake_quantize_backward_from_mask(dtype, count, work.input(data.dy()), clipped,
                                          work.output("dx", data.x().size()), num_threads);
  std::byte* in_place = work.output("dx in place", data.dy());
  table->fake_quantize_backward_from_mask(dtype, count, in_place, clipped, in_place, num_threads);
  return work.finish();
}

Outputs run_learned_scale(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  const std::vector<double> g = gradient_scales(data);
  std::vector<double> dscale(data.num_scales(), -1.0);
  std::vector<double> dzero_point(data.num_scales(), -1.0);
  const bool integer = is_integer(data.parameters().quantizer.format);
  table->learned_scale_backward(data.scaled(), work.input(data.dy()), x,
                                work.output("dx", data.x().size()), g.data(), dscale.data(),
                                integer ? dzero_point.data() : nullptr);
  work.result("dscale", dscale);
  work.result("dzero_point", dzero_point);
  std::byte* in_place = work.output("dx in place", data.dy());
  table->learned_scale_backward(data.scaled(), in_place, x, in_place, g.data(), dscale.data(),
                                nullptr);
  work.result("dscale in place", dscale);
  return work.finish();
}

Outputs run_statistics(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  detail::ScaledTensor tensor;
  const detail::ScaledTensor scaled = data.scaled();
  tensor.dtype = scaled.dtype;
  tensor.shape = scaled.shape;
  tensor.granularity = scaled.granularity;
  tensor.num_scales = scaled.num_scales;
  tensor.num_threads = scaled.num_threads;
  // Not the answer for no elements.
  std::vector<Statistics> result(data.num_scales(), Statistics{-1, -1, -1, -1, -1, 0.0, 0.0});
  table->statistics(tensor, work.input(data.x()), result.data());
  work.result("statistics", pods_as_bytes(result));
  return work.finish();
}

Outputs run_quantization_error(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  std::vector<double> amax = data.amax();
  std::vector<QuantizationError> result(data.num_scales());
  table->quantization_error(data.scaled(), x, amax.data(), result.data());
  work.result("error", pods_as_bytes(result));
  for (double& unit : amax) unit = unit < 1e300 ? unit * 1.7 + 0.1 : unit;
  std::fill(result.begin(), result.end(), QuantizationError{});
  table->quantization_error(data.scaled(), x, amax.data(), result.data());
  work.result("error in larger units", pods_as_bytes(result));
  return work.finish();
}

Outputs run_key_histogram(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const ScaledCase& c = data.parameters();
  if (c.dtype == DType::kF64) return work.finish();
  std::vector<std::uint64_t> counts(kNumKeys);
  for (std::size_t key = 0; key < kNumKeys; ++key) counts[key] = key;
  table->accumulate_key_histogram(c.dtype, static_cast<std::int64_t>(data.count()),
                                  work.input(data.x()), counts.data(), c.num_threads);
  work.result("counts", counts);
  return work.finish();
}

Outputs run_linear_histogram(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const ScaledCase& c = data.parameters();
  const std::byte* x = work.input(data.x());
  const double amax = data.amax().empty() ? 1.0 : data.amax().front();
  for (const double limit : {amax, amax * 0.37, 1.0, 3.3e-38}) {
    if (!(limit > 0)) continue;
    for (const std::size_t bins : {1u, 2u, 7u, 128u, 2048u}) {
      for (const BinRange range : {BinRange::kMagnitude, BinRange::kSigned}) {
        if (range == BinRange::kSigned && bins % 2 != 0) continue;
        std::vector<std::uint64_t> counts(bins, 3);
        table->accumulate_linear_histogram(c.dtype, static_cast<std::int64_t>(data.count()), x,
                                           limit, range, counts, c.num_threads);
        work.result("counts of " + std::to_string(bins) + " bins", counts);
      }
    }
  }
  return work.finish();
}

Outputs run_order_statistics(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const ScaledCase& c = data.parameters();
  const std::byte* x = work.input(data.x());
  const std::vector<double> values = to_doubles(c.dtype, data.x());
  const auto finite = std::count_if(values.begin(), values.end(),
                                    [](double value) { return std::isfinite(value); });
  std::vector<std::int64_t> ranks;
  for (const std::int64_t rank :
       {finite - 1, std::int64_t{0}, finite / 2, finite / 3, finite / 2}) {
    if (finite > 0) ranks.push_back(rank);
  }
  // Two batches, one of them of odd length, must answer as their concatenation does.
  const auto cut = static_cast<std::int64_t>(data.count() / 3);
  const auto rest = static_cast<std::int64_t>(data.count()) - cut;
  const std::vector<ConstTensorView> batches = {
      ConstTensorView(x, c.dtype, Shape{cut}),
      ConstTensorView(x + static_cast<std::size_t>(cut) * dtype_bytes(c.dtype), c.dtype,
                      Shape{rest})};
  for (const OrderBy order : {OrderBy::kValue, OrderBy::kMagnitude}) {
    std::vector<double> result(ranks.size(), -1.0);
    table->order_statistics(batches, order, ranks, result.data(), c.num_threads);
    work.result(order == OrderBy::kValue ? "by value" : "by magnitude", result);
  }
  return work.finish();
}

Outputs run_scale_elements(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  for (const bool divides : {true, false}) {
    const std::string name = divides ? "x / scale" : "x * scale";
    table->scale_elements(data.scaled(), x, work.output(name, data.x().size()), divides);
    std::byte* in_place = work.output(name + " in place", data.x());
    table->scale_elements(data.scaled(), in_place, in_place, divides);
  }
  return work.finish();
}

Outputs run_quantize_transposed(Table table, const CaseData& data, const Placement& placement) {
  Workspace work(placement);
  const std::byte* x = work.input(data.x());
  const std::optional<detail::ScaledTensor> matrix = as_matrix(data);
  if (!matrix) return work.finish();
  std::byte* codes = work.output("codes", data.count());
  table->quantize_transposed(*matrix, x, as_codes(codes),
                             as_codes(work.output("transposed", data.count())));
  table->quantize_transposed(*matrix, x, nullptr,
                             as_codes(work.output("transposed alone", data.count())));
  return work.finish();
}

std::string first_difference(const Outputs& expected, const Outputs& actual) {
  if (expected.size() != actual.size()) return "another number of outputs";
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Bytes& a = expected[i].content;
    const Bytes& b = actual[i].content;
    if (a == b) continue;
    std::ostringstream text;
    text << expected[i].name << ": ";
    if (a.size() != b.size()) return text.str() + "another size";
    const auto at = std::mismatch(a.begin(), a.end(), b.begin());
    const auto first = static_cast<std::size_t>(at.first - a.begin());
    text << "byte " << first << " of " << a.size()
         << ", expected and actual around it:" << std::hex;
    for (const Bytes* bytes : {&a, &b}) {
      text << "\n ";
      for (std::size_t k = first / 8 * 8; k < std::min(first / 8 * 8 + 16, a.size()); ++k) {
        text << ' ' << std::setw(2) << std::setfill('0') << std::to_integer<int>((*bytes)[k]);
      }
    }
    return text.str();
  }
  return {};
}

}  // namespace cuqat::test
