// The device functions that work on the caller's memory, each with what it asks of its arguments:
// for tests of what all of them do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuqat/device_calibration.hpp"
#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/stream.hpp"
#include "support/device_memory.hpp"

namespace cuqat::test {

enum class Role { kInput, kOutput };

struct Argument {
  std::string_view name;
  Role role;
  std::int64_t count;
  std::size_t alignment = 1;  ///< 1: any.
  /// Arguments whose memory it may be, all of it.
  std::vector<std::string_view> may_be = {};
  bool sets_the_size = false;  ///< The others are compared with it.
  bool is_optional = false;    ///< No entries: not wanted.
};

/// The arguments of a call, in the order of Function::arguments.
class Values {
 public:
  Values(std::vector<void*> memory, std::vector<std::int64_t> counts)
      : memory_(std::move(memory)), counts_(std::move(counts)) {}

  /// The same with argument i in other memory.
  [[nodiscard]] Values in(std::size_t i, void* memory) const {
    Values changed = *this;
    changed.memory_[i] = memory;
    return changed;
  }
  /// The same with `added` more entries in argument i.
  [[nodiscard]] Values with_more(std::size_t i, std::int64_t added) const {
    Values changed = *this;
    changed.counts_[i] += added;
    return changed;
  }

  template <typename T>
  [[nodiscard]] DeviceSpan<T> span(std::size_t i) const {
    return {static_cast<T*>(memory_[i]), counts_[i]};
  }
  [[nodiscard]] DeviceTensorView f32(std::size_t i) const { return view(i, DType::kF32); }
  [[nodiscard]] DeviceTensorView view(std::size_t i, DType dtype) const {
    return {memory_[i], dtype, Shape{counts_[i]}};
  }
  /// Of rank 2.
  [[nodiscard]] DeviceTensorView matrix(std::size_t i) const {
    return {memory_[i], DType::kF32, Shape{25, counts_[i] / 25}};
  }
  /// Of rank 2 and 25 rows, where the count is what fits.
  [[nodiscard]] DeviceTensorView rows_of_25(std::size_t i, std::int64_t columns,
                                            DType dtype = DType::kF32) const {
    const bool fits = counts_[i] == 25 * columns;
    return {memory_[i], dtype, fits ? Shape{25, columns} : Shape{1, counts_[i]}};
  }
  /// A scale and no zero point for each row, in argument i.
  [[nodiscard]] DeviceQuantParams scales_of(Format format, std::size_t i) const {
    return {{format}, Granularity::channel(0), f32(i), {}};
  }
  /// A scale and a zero point for the whole tensor, from argument i on.
  [[nodiscard]] DeviceQuantParams tensor_params(std::size_t i) const {
    return {{}, Granularity::tensor(), f32(i), span<const std::int32_t>(i + 1)};
  }
  /// A scale and a zero point for each element, from argument i on.
  [[nodiscard]] DeviceQuantParams params(std::size_t i) const {
    return {{}, Granularity::channel(0), f32(i), span<const std::int32_t>(i + 1)};
  }
  [[nodiscard]] DeviceScales scales(std::size_t i) const {
    return {f32(i), span<std::int32_t>(i + 1)};
  }
  [[nodiscard]] FakeQuantizeExtras extras(std::size_t i) const {
    return {span<std::uint8_t>(i), span<Statistics>(i + 1)};
  }

 private:
  std::vector<void*> memory_;
  std::vector<std::int64_t> counts_;
};

struct Function {
  std::string name;
  std::vector<Argument> arguments;
  std::function<void(const Values&)> call;
};

/// Device memory of ones, enough for each argument of any of them.
class ArgumentMemory {
 public:
  static constexpr std::size_t kBytes = kNumKeys * sizeof(std::uint64_t);

  ArgumentMemory();

  [[nodiscard]] void* of(std::size_t i) const { return memory_[i]->as<void>(); }
  /// What fits.
  [[nodiscard]] Values values(const Function& function) const;

 private:
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

/// On tensors of kCount elements. `collector` takes bf16.
std::vector<Function> device_functions(const DeviceContext& context, StreamRef stream,
                                       DeviceCalibrationCollector& collector);

}  // namespace cuqat::test
