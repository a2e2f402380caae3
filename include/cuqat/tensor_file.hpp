// Tensors from safetensors files, and quantized layers in them: the component cuqat::files.
// The format: https://huggingface.co/docs/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// A tensor as a file holds it: row-major, little-endian, at any address.
struct StoredTensor {
  std::string dtype;  ///< The format's name: "F32", "BF16", "I8", "I64", "F8_E4M3" ...
  std::vector<std::int64_t> shape;  ///< Outermost extent first.
  std::span<const std::byte> bytes;
};

/// A safetensors file, mapped and checked whole before anything is read from it.
class TensorFile {
 public:
  /// @throws DataError for a file that cannot be read, or is not what the format allows.
  explicit TensorFile(const std::string& path);
  ~TensorFile();
  TensorFile(TensorFile&&) noexcept;
  TensorFile& operator=(TensorFile&&) noexcept;

  /// In the order of the header.
  [[nodiscard]] std::vector<std::string> names() const;

  /// A tensor to compute with. Valid while the file is open.
  /// @throws DataError where there is none of this name, or it is none of F64, F32, F16 and BF16 or
  ///         of a rank above Shape::kMaxRank.
  [[nodiscard]] ConstTensorView tensor(std::string_view name) const;

  /// A tensor of any dtype. Valid while the file is open.
  /// @throws DataError where there is none of this name.
  [[nodiscard]] StoredTensor stored(std::string_view name) const;

 private:
  struct Contents;
  std::unique_ptr<Contents> contents_;
};

/// Writes layers by their names, as codes, scales, zero points and bias. The file appears whole or
/// not at all. For a layer X the tensors are named as compressed-tensors names them:
///   X.weight             codes: I8 or FP8 of the weight's shape, or int4 as U8, two in a byte
///   X.weight_scale       F32, or F64 where the bias is; as many as the granularity has
///   X.weight_zero_point  I32, where there are any
///   X.bias               F32 or F64
///   X.input_scale        F32 or F64, one
///   X.input_zero_point   I32, where there is one
/// and the metadata X.weight.*, X.input.* say format, rounding, narrow_range, granularity and
/// shape.
/// @throws InvalidArgument for a layer whose parts do not fit together, DataError where the file
///         cannot be written.
void save_layers(const std::string& path, const std::map<std::string, QuantizedLayer>& layers);

/// The layers that save_layers wrote, bit for bit.
/// @throws DataError for a file that cannot be read or does not hold what save_layers writes.
std::map<std::string, QuantizedLayer> load_layers(const std::string& path);

}  // namespace cuqat
