// Operations that write one element for each that they read.
#include <unistd.h>

#include <bit>
#include <cstring>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

/// Bytes of output from which a store past the caches pays: an ordinary store reads the line
/// first, and evicts what the caller may still want.
std::size_t streaming_threshold() {
  static const std::size_t kThreshold = [] {
#if defined(_SC_LEVEL3_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (bytes > 0) return static_cast<std::size_t>(bytes) / 4 * 3;
#endif
    return std::size_t{24} << 20;
  }();
  return kThreshold;
}

/// Where the kernels write a tile of the output: in place, or into a buffer in L1 that is then
/// streamed to memory.
class TileOutput {
 public:
  /// `is_input`: the output is an input, so its lines are in the caches anyway.
  TileOutput(const Kernels& kernels, std::size_t output_bytes, bool is_input)
      : kernels_(kernels), streams_(!is_input && output_bytes >= streaming_threshold()) {}
  ~TileOutput() {
    if (streams_) kernels_.stream_fence();
  }
  TileOutput(const TileOutput&) = delete;
  TileOutput& operator=(const TileOutput&) = delete;

  void* begin_tile(void* target) { return streams_ ? buffer_ : target; }
  void end_tile(void* target, std::size_t bytes) {
    if (streams_) kernels_.stream(target, buffer_, bytes);
  }

 private:
  const Kernels& kernels_;
  bool streams_;
  alignas(64) std::byte buffer_[kTile * sizeof(double)];
};

/// body(begin, length) for the tiles of [first, last).
template <typename Body>
void for_each_tile(std::int64_t first, std::int64_t last, const Body& body) {
  for (std::int64_t begin = first; begin < last; begin += kTile) {
    body(begin, std::min(kTile, last - begin));
  }
}

/// Where the code of element i is; i is even.
std::int64_t code_offset(CodeLayout layout, std::int64_t i) {
  return layout == CodeLayout::kNibbles ? i / 2 : i;
}

std::size_t bytes_of_codes(CodeLayout layout, std::int64_t n) {
  return static_cast<std::size_t>(layout == CodeLayout::kNibbles ? (n + 1) / 2 : n);
}

static_assert(kChunk % kTile == 0 && kTile % 64 == 0);
static_assert(std::endian::native == std::endian::little, "masks and keys are read as words");

}  // namespace

void quantize(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
              std::uint8_t* codes, CodeLayout layout) {
  const ScaleLayout scales(tensor);
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const std::size_t output_bytes = bytes_of_codes(layout, scales.count);
  for_each_chunk(scales.count, kChunk, tensor.num_threads,
                 [&](std::int64_t first, std::int64_t last) {
                   ScaleBuffer buffer;
                   TileOutput output(kernels, output_bytes, false);
                   alignas(64) std::uint8_t unpacked[kTile];
                   for_each_tile(first, last, [&](std::int64_t begin, std::int64_t n) {
                     const TileScale scale = buffer.tile(tensor, scales, begin, n);
                     const void* const tile = element(tensor.dtype, x, begin);
                     std::uint8_t* const target = codes + code_offset(layout, begin);
                     auto* const written = static_cast<std::uint8_t*>(output.begin_tile(target));
                     if (layout == CodeLayout::kNibbles) {
                       kernels.quantize(quantizer, scale, tile, unpacked, n);
                       kernels.pack_nibbles(unpacked, written, n);
                     } else {
                       kernels.quantize(quantizer, scale, tile, written, n);
                     }
                     output.end_tile(target, bytes_of_codes(layout, n));
                   });
                 });
}

void dequantize(const Kernels& kernels, const detail::ScaledTensor& tensor,
                const std::uint8_t* codes, CodeLayout layout, void* y) {
  const ScaleLayout scales(tensor);
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const std::size_t element_bytes = dtype_bytes(tensor.dtype);
  const std::size_t output_bytes = static_cast<std::size_t>(scales.count) * element_bytes;
  for_each_chunk(scales.count, kChunk, tensor.num_threads,
                 [&](std::int64_t first, std::int64_t last) {
                   ScaleBuffer buffer;
                   TileOutput output(kernels, output_bytes, false);
                   alignas(64) std::uint8_t unpacked[kTile];
                   for_each_tile(first, last, [&](std::int64_t begin, std::int64_t n) {
                     const TileScale scale = buffer.tile(tensor, scales, begin, n);
                     const std::uint8_t* source = codes + code_offset(layout, begin);
                     if (layout == CodeLayout::kNibbles) {
                       kernels.unpack_nibbles(source, unpacked, n);
                       source = unpacked;
                     }
                     void* const target = element(tensor.dtype, y, begin);
                     kernels.dequantize(quantizer, scale, source, output.begin_tile(target), n);
                     output.end_tile(target, static_cast<std::size_t>(n) * element_bytes);
                   });
                 });
}

void fake_quantize(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                   void* y, std::uint8_t* clip_mask) {
  const ScaleLayout scales(tensor);
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const std::size_t element_bytes = dtype_bytes(tensor.dtype);
  const std::size_t output_bytes = static_cast<std::size_t>(scales.count) * element_bytes;
  for_each_chunk(
      scales.count, kChunk, tensor.num_threads, [&](std::int64_t first, std::int64_t last) {
        ScaleBuffer buffer;
        TileOutput output(kernels, output_bytes, x == y);
        for_each_tile(first, last, [&](std::int64_t begin, std::int64_t n) {
          const TileScale scale = buffer.tile(tensor, scales, begin, n);
          void* const target = element(tensor.dtype, y, begin);
          kernels.fake_quantize(quantizer, scale, element(tensor.dtype, x, begin),
                                output.begin_tile(target),
                                clip_mask == nullptr ? nullptr : clip_mask + begin / 8, n);
          output.end_tile(target, static_cast<std::size_t>(n) * element_bytes);
        });
      });
}

void fake_quantize_backward(const Kernels& kernels, const detail::ScaledTensor& tensor,
                            const void* dy, const void* x, void* dx) {
  const ScaleLayout scales(tensor);
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const std::size_t element_bytes = dtype_bytes(tensor.dtype);
  const std::size_t output_bytes = static_cast<std::size_t>(scales.count) * element_bytes;
  for_each_chunk(
      scales.count, kChunk, tensor.num_threads, [&](std::int64_t first, std::int64_t last) {
        ScaleBuffer buffer;
        TileOutput output(kernels, output_bytes, dx == dy || dx == x);
        for_each_tile(first, last, [&](std::int64_t begin, std::int64_t n) {
          const TileScale scale = buffer.tile(tensor, scales, begin, n);
          void* const target = element(tensor.dtype, dx, begin);
          kernels.backward(quantizer, scale, element(tensor.dtype, dy, begin),
                           element(tensor.dtype, x, begin), output.begin_tile(target), n);
          output.end_tile(target, static_cast<std::size_t>(n) * element_bytes);
        });
      });
}

namespace {

/// The next 64 bits of a mask, or what is left of it.
std::uint64_t mask_word(const std::uint8_t* clip_mask, std::int64_t first, std::int64_t last) {
  std::uint64_t word = 0;
  const std::int64_t bits = std::min<std::int64_t>(last - first, 64);
  std::memcpy(&word, clip_mask + first / 8, static_cast<std::size_t>((bits + 7) / 8));
  // Spare bits of a mask from elsewhere may be set; no element past the end is touched.
  return bits < 64 ? word & ((std::uint64_t{1} << bits) - 1) : word;
}

/// dx is dy: only clipped elements are written, so clean cache lines stay clean.
void zero_clipped_in_place(std::size_t element_bytes, const std::uint8_t* clip_mask, void* dx,
                           std::int64_t first, std::int64_t last) {
  for (std::int64_t word = first; word < last; word += 64) {
    for (std::uint64_t bits = mask_word(clip_mask, word, last); bits != 0; bits &= bits - 1) {
      const auto i = static_cast<std::size_t>(word + std::countr_zero(bits));
      std::memset(static_cast<std::byte*>(dx) + i * element_bytes, 0, element_bytes);
    }
  }
}

}  // namespace

void fake_quantize_backward_from_mask(const Kernels& kernels, DType dtype, std::int64_t count,
                                      const void* dy, const std::uint8_t* clip_mask, void* dx,
                                      int num_threads) {
  const std::size_t element_bytes = dtype_bytes(dtype);
  const std::size_t output_bytes = static_cast<std::size_t>(count) * element_bytes;
  for_each_chunk(count, kChunk, num_threads, [&](std::int64_t first, std::int64_t last) {
    if (dx == dy) return zero_clipped_in_place(element_bytes, clip_mask, dx, first, last);
    TileOutput output(kernels, output_bytes, false);
    for_each_tile(first, last, [&](std::int64_t begin, std::int64_t n) {
      void* const target = element(dtype, dx, begin);
      kernels.backward_from_mask(element_bytes, element(dtype, dy, begin), clip_mask + begin / 8,
                                 output.begin_tile(target), n);
      output.end_tile(target, static_cast<std::size_t>(n) * element_bytes);
    });
  });
}

}  // namespace cuqat::cpu
