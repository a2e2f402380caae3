// The JSON of `cuqat calibrate`, read back and checked.
#pragma once

#include <string>
#include <vector>

#include "cuqat/quant_params.hpp"

namespace cuqat::cli {

/// What is the same for all tensors of a calibration.
struct CommonParams {
  Quantizer quantizer;
  Granularity granularity;
  bool symmetric = true;
};

/// One method's answer for a tensor.
struct NamedParams {
  std::string method;  ///< "mse".
  std::string label;   ///< "percentile:99.9"; the method where there is no more to say.
  QuantParams params;
};

struct TensorParams {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<NamedParams> results;
};

struct ParamsFile {
  std::string display_name;
  CommonParams common;
  std::vector<TensorParams> tensors;
};

/// @throws FileError for anything that `cuqat calibrate` would not write. Keys that it does not
/// know
///         are passed over.
ParamsFile read_params(const std::string& path);

/// The tensor's only result, or the one of this method or label.
/// @throws UsageError where that is none or several; the message names those that there are.
const NamedParams& choose(const TensorParams& tensor, const std::string* method,
                          const std::string& file);

}  // namespace cuqat::cli
