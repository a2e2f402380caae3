#include "gemm_cut.hpp"

#include <algorithm>

#include "launch.hpp"

namespace cuqat::gpu {
namespace {

/// Outputs of a piece are multiples of this, which is also the least.
constexpr std::int64_t kOutputsUnit = 16;
/// Inputs of a part of a deep product.
constexpr std::int64_t kPartDepth = kMaxInt32Depth / kDepthUnit * kDepthUnit;

bool is_at_word(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }

Cut smallest(Cut cut) {
  cut.rows = std::min(cut.rows, kRowsUnit);
  cut.outputs = std::min(cut.outputs, kOutputsUnit);
  return cut;
}

}  // namespace

Cut uncut(const CodeProduct& product, const std::int32_t* y) {
  const auto& [m, n, k] = product.shape;
  Cut cut{};
  cut.all_rows = cut.rows = m;
  cut.outputs = n;
  cut.is_fp8 = product.x_type != NumberType::kInt8;
  cut.is_deep = !cut.is_fp8 && k > kMaxInt32Depth;
  cut.depth = cut.is_deep ? kPartDepth : k;
  cut.sums_codes = y == nullptr && !cut.is_fp8;
  if (k == 0) return cut;  // nothing is multiplied
  const bool is_deep_enough = k % kDepthUnit == 0;
  cut.copies_x = !is_deep_enough || !is_at_word(product.x) || cut.padded_rows(m) != m;
  cut.copies_w = !is_deep_enough || !is_at_word(product.w) || cut.padded_outputs(n) != n;
  cut.writes_sums =
      y == nullptr || !is_at_word(y) || cut.padded_rows(m) != m || cut.padded_outputs(n) != n;
  return cut;
}

Places places(const Cut& cut) {
  const std::int64_t most_rows =
      std::min(cut.rows + (cut.keeps_few_together() ? kFewRows : 0), cut.all_rows);
  const std::int64_t rows = cut.padded_rows(most_rows);
  const std::int64_t outputs = cut.padded_outputs(cut.outputs);
  const std::int64_t depth = round_up(cut.depth, kDepthUnit);
  Places result;
  const auto take = [&](std::size_t& place, bool wanted, std::int64_t bytes) {
    place = result.end;
    if (wanted) result.end += aligned(static_cast<std::size_t>(bytes));
  };
  take(result.x, cut.copies_x, rows * depth);
  take(result.w, cut.copies_w, outputs * depth);
  take(result.sums, cut.writes_sums, rows * outputs * 4);
  take(result.deep_sums, cut.is_deep, rows * outputs * 8);
  take(result.x_row_sums, cut.sums_codes, most_rows * 8);
  take(result.w_row_sums, cut.sums_codes, cut.outputs * 8);
  return result;
}

Cut cut_to(Cut cut, std::size_t bytes) {
  // At a time, and later an eighth.
  const auto one_more = [](std::int64_t whole, std::int64_t unit, std::int64_t& num_pieces) {
    num_pieces += 1 + num_pieces / 8;
    return round_up((whole - 1) / num_pieces + 1, unit);
  };
  const std::int64_t m = cut.rows;
  const std::int64_t n = cut.outputs;
  std::int64_t pieces_of_m = 1;
  std::int64_t pieces_of_n = 1;
  while (places(cut).end > bytes) {
    const bool can_cut_rows = cut.rows > kRowsUnit;
    const bool can_cut_outputs = cut.outputs > kOutputsUnit;
    if (can_cut_rows && (cut.rows >= cut.outputs || !can_cut_outputs)) {
      cut.rows = one_more(m, kRowsUnit, pieces_of_m);
    } else if (can_cut_outputs) {
      cut.outputs = one_more(n, kOutputsUnit, pieces_of_n);
    } else {
      break;
    }
  }
  return cut;
}

std::size_t product_scratch_bytes(const GemmShape& shape) {
  if (shape.m == 0 || shape.n == 0) return 0;
  std::size_t most = 0;
  for (const NumberType type : {NumberType::kInt8, NumberType::kE4M3}) {
    Cut cut = uncut({shape, nullptr, nullptr, type, type}, nullptr);
    cut.copies_x = cut.copies_w = shape.k > 0;
    most = std::max(most, places(cut).end);
  }
  return most;
}

std::size_t least_product_scratch_bytes(const CodeProduct& product, const std::int32_t* y) {
  return places(smallest(uncut(product, y))).end;
}

}  // namespace cuqat::gpu
