// Weights of a model: codes with their scales, and back; and where training starts from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// How a layer is quantized. Every field is honoured.
struct QatConfig {
  Format format = Format::kInt8;
  bool per_channel = false;  ///< One scale for each index of the first axis (output features).
  bool symmetric = true;
};

/// Codes of a weight tensor and what they mean.
struct QuantizedWeights {
  std::vector<std::uint8_t> codes;  ///< int4 as CodeLayout::kNibbles, others a byte each.
  CodeLayout layout = CodeLayout::kBytes;
  QuantParams params;
  Shape shape;
  DType dtype = DType::kF32;
};

/// Calibrates weights by min-max and quantizes them.
/// Shape:  any; per_channel needs rank 1 or more.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for affine FP8, per_channel of a scalar.
QuantizedWeights quantize_model_weights(ConstTensorView weights, const QatConfig& config = {},
                                        const HostOptions& options = {});

/// The values of quantized weights.
/// Shape:  y of weights.shape; of any dtype with the same compute type as weights.dtype.
/// Order, Agrees: as quantize_model_weights.
/// @throws InvalidArgument where y does not match.
void dequantize_weights(const QuantizedWeights& weights, TensorView y,
                        const HostOptions& options = {});

/// Uniform in (-b, b], b = sqrt(6 / (fan_in + fan_out)), both signs alike (Glorot and Bengio 2010);
/// element i depends on the seed and i alone (Philox4x32-10).
/// @throws InvalidArgument for fans that are negative or both 0.
void xavier_uniform(std::uint64_t seed, std::int64_t fan_in, std::int64_t fan_out,
                    std::span<float> weights);

}  // namespace cuqat
