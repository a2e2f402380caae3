// The safetensors files of `cuqat quantize`.
//
// For each tensor NAME: NAME, the codes: I8 for int8, F8_E4M3 and F8_E5M2 of the tensor's shape;
// for int4 U8 [ceil(count / 2)], two codes a byte of the flattened tensor, the earlier one in the
// low four bits. NAME_scale: F64 for F64 tensors, else F32; [1], [channels] or [rows, groups].
// NAME_zero_point: I32, of the scale's shape.
// Metadata: "cuqat" (version), "format", "granularity", "rounding", "symmetric", and "tensors", a
// JSON object of each tensor's dtype and shape: {"NAME": {"dtype": "F32", "shape": [665, 384]}}.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/params_input.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/tensor_view.hpp"
#include "io/safetensors.hpp"

namespace cuqat::cli {

/// What a quantized tensor was.
struct OriginalTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

/// Dtype and shape of the three tensors of one.
io::TensorInfo codes_info(const OriginalTensor& tensor, Format format);
io::TensorInfo scale_info(const OriginalTensor& tensor, const Granularity& granularity);
io::TensorInfo zero_point_info(const OriginalTensor& tensor, const Granularity& granularity);

std::map<std::string, std::string> quantized_metadata(const CommonParams& common,
                                                      const std::vector<OriginalTensor>& tensors);

/// A file of `cuqat quantize`, its metadata checked.
struct QuantizedFile {
  CommonParams common;
  std::vector<OriginalTensor> tensors;
};

/// @throws FileError for metadata that `cuqat quantize` would not write.
QuantizedFile read_quantized_metadata(const io::SafetensorsFile& file);

/// The tensor of this name, which must be of this dtype and shape.
/// @throws FileError.
const io::TensorEntry& part(const io::SafetensorsFile& file, const io::TensorInfo& expected);

}  // namespace cuqat::cli
