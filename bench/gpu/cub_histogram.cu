#include "cub_histogram.hpp"

#include <cub/device/device_histogram.cuh>

#include "check.hpp"

namespace cuqat::bench {
namespace {

constexpr int kLevels = 65'537;  // the ends of the bins

void histogram(void* temporary, std::size_t& bytes, const std::uint16_t* samples,
               std::int64_t count, std::uint32_t* counts, cudaStream_t stream) {
  gpu::check(cub::DeviceHistogram::HistogramEven(temporary, bytes, samples, counts, kLevels, 0,
                                                 kLevels - 1, static_cast<int>(count), stream),
             "cub::DeviceHistogram::HistogramEven");
}

}  // namespace

std::size_t cub_histogram_bytes(std::int64_t count) {
  std::size_t bytes = 0;
  histogram(nullptr, bytes, nullptr, count, nullptr, nullptr);
  return bytes;
}

void launch_cub_histogram(const std::uint16_t* samples, std::int64_t count, std::uint32_t* counts,
                          void* temporary, std::size_t temporary_bytes, cudaStream_t stream) {
  histogram(temporary, temporary_bytes, samples, count, counts, stream);
}

}  // namespace cuqat::bench
