// Gradients of learned scales: chunks of each scale's terms in parallel, then the sum of the sums,
// in the fixed order of docs/numerics.md.
#include <cstring>
#include <limits>
#include <vector>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

using detail::ScaledTensor;

/// What all steps of one call share.
struct Problem {
  const Kernels& kernels;
  const ScaledTensor& tensor;
  const ScaleLayout& layout;
  TileQuantizer quantizer;
  const void* dy;
  const void* x;
  void* dx;
  bool with_zero_point;
};

/// Chunk sums, those of one scale one after the other.
struct ChunkSums {
  ChunkSums(std::int64_t num_scales, std::int64_t chunks, bool with_zero_point)
      : chunks_per_scale(chunks),
        scale(static_cast<std::size_t>(num_scales * chunks)),
        zero_point(with_zero_point ? scale.size() : 0) {}

  [[nodiscard]] std::size_t at(std::int64_t index, std::int64_t chunk) const {
    return static_cast<std::size_t>(index * chunks_per_scale + chunk);
  }

  std::int64_t chunks_per_scale;
  std::vector<double> scale;
  std::vector<double> zero_point;
};

std::int64_t chunks_of(std::int64_t terms) { return (terms + kSumChunk - 1) / kSumChunk; }

/// Terms of a scale: the elements of its run in each row that has one.
struct Sequence {
  std::int64_t first;  ///< Element of the first term.
  std::int64_t run;    ///< Consecutive elements.
  std::int64_t stride;
  std::int64_t count;
};

Sequence sequence_of(const ScaleLayout& layout, std::int64_t index) {
  const std::int64_t run = index % layout.runs_per_row;
  const std::int64_t start = run * layout.run_length;
  const std::int64_t length = std::min(layout.run_length, layout.row_length - start);
  if (layout.is_periodic()) {
    return {start, length, layout.row_length, length * layout.num_rows()};
  }
  const std::int64_t row = index / layout.runs_per_row;
  return {row * layout.row_length + start, length, layout.row_length, length};
}

/// The elements of a chunk that is cut into runs, gathered, and their gradients put back.
class Gathered {
 public:
  Gathered(const Problem& problem, const Sequence& terms, std::int64_t begin, std::int64_t n)
      : problem_(problem), terms_(terms), begin_(begin), n_(n) {
    for_each_part([&](std::int64_t at, std::int64_t from, std::size_t bytes) {
      std::memcpy(dy_ + at, element(problem_.tensor.dtype, problem_.dy, from), bytes);
      std::memcpy(x_ + at, element(problem_.tensor.dtype, problem_.x, from), bytes);
    });
  }

  void sum(const TileScale& scale, double* dscale, double* dzero_point) {
    problem_.kernels.learned_scale(problem_.quantizer, scale, dy_, x_, dy_, n_, dscale,
                                   dzero_point);
    for_each_part([&](std::int64_t at, std::int64_t from, std::size_t bytes) {
      std::memcpy(element(problem_.tensor.dtype, problem_.dx, from), dy_ + at, bytes);
    });
  }

 private:
  /// body(byte offset in the buffers, element of the tensor, bytes).
  template <typename Body>
  void for_each_part(const Body& body) const {
    const auto element_bytes = static_cast<std::int64_t>(dtype_bytes(problem_.tensor.dtype));
    for (std::int64_t done = 0; done < n_;) {
      const std::int64_t row = (begin_ + done) / terms_.run;
      const std::int64_t in_run = (begin_ + done) % terms_.run;
      const std::int64_t length = std::min(terms_.run - in_run, n_ - done);
      body(done * element_bytes, terms_.first + row * terms_.stride + in_run,
           static_cast<std::size_t>(length * element_bytes));
      done += length;
    }
  }

  const Problem& problem_;
  Sequence terms_;
  std::int64_t begin_;
  std::int64_t n_;
  alignas(64) std::byte dy_[kSumChunk * sizeof(double)];
  alignas(64) std::byte x_[kSumChunk * sizeof(double)];
};

/// One chunk of the terms of one scale.
void sum_scale_chunk(const Problem& problem, std::int64_t index, std::int64_t chunk,
                     ChunkSums& sums) {
  const Sequence terms = sequence_of(problem.layout, index);
  const std::int64_t begin = chunk * kSumChunk;
  if (begin >= terms.count) return;
  const std::int64_t n = std::min(terms.count - begin, kSumChunk);
  const TileScale scale = single_scale(problem.tensor, index);
  double* const dscale = &sums.scale[sums.at(index, chunk)];
  double* const dzero_point =
      problem.with_zero_point ? &sums.zero_point[sums.at(index, chunk)] : nullptr;
  if (begin % terms.run + n > terms.run) {
    Gathered(problem, terms, begin, n).sum(scale, dscale, dzero_point);
    return;
  }
  const DType dtype = problem.tensor.dtype;
  const std::int64_t first = terms.first + begin / terms.run * terms.stride + begin % terms.run;
  problem.kernels.learned_scale(problem.quantizer, scale, element(dtype, problem.dy, first),
                                element(dtype, problem.x, first), element(dtype, problem.dx, first),
                                n, dscale, dzero_point);
}

/// Scales of consecutive elements: neighbouring channels are summed side by side.
void sum_columns(const Problem& problem, std::int64_t first_column, std::int64_t chunk,
                 ChunkSums& sums) {
  const ScaleLayout& layout = problem.layout;
  const std::int64_t columns = std::min(kSumColumns, layout.row_length - first_column);
  const std::int64_t first_row = chunk * kSumChunk;
  const std::int64_t rows = std::min(layout.num_rows() - first_row, kSumChunk);
  const std::int64_t first = first_row * layout.row_length + first_column;
  const DType dtype = problem.tensor.dtype;
  double dscale[kSumColumns];
  double dzero_point[kSumColumns];
  problem.kernels.learned_scale_columns(
      problem.quantizer, single_scale(problem.tensor, first_column),
      element(dtype, problem.dy, first), element(dtype, problem.x, first),
      element(dtype, problem.dx, first), rows, columns, layout.row_length, dscale,
      problem.with_zero_point ? dzero_point : nullptr);
  for (std::int64_t i = 0; i < columns; ++i) {
    const std::size_t at = sums.at(first_column + i, chunk);
    sums.scale[at] = dscale[i];
    if (problem.with_zero_point) sums.zero_point[at] = dzero_point[i];
  }
}

/// Chunk sums are the terms of the next round, until one is left. Works in place.
double sum_of_chunks(const Kernels& kernels, double* terms, std::int64_t n) {
  while (n > 1) {
    const std::int64_t chunks = chunks_of(n);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t begin = chunk * kSumChunk;
      terms[chunk] = kernels.sum_chunk(terms + begin, std::min(n - begin, kSumChunk));
    }
    n = chunks;
  }
  return n == 0 ? 0.0 : terms[0];
}

/// As a value of the compute type; any NaN is the positive quiet one.
double rounded(DType dtype, double value) {
  const double result = dtype == DType::kF64 ? value : double{static_cast<float>(value)};
  return result == result ? result : std::numeric_limits<double>::quiet_NaN();
}

void sum_all_chunks(const Problem& problem, ChunkSums& sums) {
  const ScaleLayout& layout = problem.layout;
  const bool by_columns = layout.run_length == 1 && layout.is_periodic() && !layout.is_single();
  // Chunk by chunk, so that scales that share cache lines are summed while these are at hand.
  const std::int64_t width =
      by_columns ? (layout.row_length + kSumColumns - 1) / kSumColumns : layout.num_scales;
  const std::int64_t terms = layout.count / std::max<std::int64_t>(width, 1);
  const std::int64_t per_item = std::clamp<std::int64_t>(terms, 1, kSumChunk);
  for_each_chunk(width * sums.chunks_per_scale, std::max<std::int64_t>(kChunk / per_item, 1),
                 problem.tensor.num_threads, [&](std::int64_t first, std::int64_t last) {
                   for (std::int64_t i = first; i < last; ++i) {
                     if (by_columns) {
                       sum_columns(problem, i % width * kSumColumns, i / width, sums);
                     } else {
                       sum_scale_chunk(problem, i % width, i / width, sums);
                     }
                   }
                 });
}

}  // namespace

void learned_scale_backward(const Kernels& kernels, const ScaledTensor& tensor, const void* dy,
                            const void* x, void* dx, const double* gradient_scale, double* dscale,
                            double* dzero_point) {
  const ScaleLayout layout(tensor);
  const Problem problem{kernels, tensor, layout, tile_quantizer(tensor),
                        dy,      x,      dx,     dzero_point != nullptr};
  const bool empty = layout.count == 0;
  ChunkSums sums(layout.num_scales, empty ? 0 : chunks_of(sequence_of(layout, 0).count),
                 dzero_point != nullptr);
  if (!empty) sum_all_chunks(problem, sums);
  for (std::int64_t i = 0; i < layout.num_scales; ++i) {
    const std::int64_t chunks = empty ? 0 : chunks_of(sequence_of(layout, i).count);
    const double g = gradient_scale[i];
    double* const scale_sums = sums.scale.data() + sums.at(i, 0);
    dscale[i] = rounded(tensor.dtype, g * sum_of_chunks(kernels, scale_sums, chunks));
    if (dzero_point == nullptr) continue;
    double* const zero_sums = sums.zero_point.data() + sums.at(i, 0);
    dzero_point[i] = rounded(
        tensor.dtype, -g * scale_value(tensor, i) * sum_of_chunks(kernels, zero_sums, chunks));
  }
}

}  // namespace cuqat::cpu
