#include "linear_layer.hpp"

#include <bit>
#include <cstring>
#include <stdexcept>

#include "cuqat/gemm.hpp"
#include "cuqat/tensor_file.hpp"

namespace {

/// A tensor of F32 or BF16 as floats; one of rank 1 as a row.
Matrix load(const std::string& file_and_tensor) {
  const std::size_t colon = file_and_tensor.rfind(':');
  if (colon == std::string::npos) {
    throw std::runtime_error(file_and_tensor + " is not FILE:TENSOR");
  }
  const cuqat::TensorFile file(file_and_tensor.substr(0, colon));
  const cuqat::ConstTensorView tensor = file.tensor(file_and_tensor.substr(colon + 1));
  const int rank = tensor.shape().rank();
  if (rank != 1 && rank != 2) throw std::runtime_error(file_and_tensor + " is no matrix");
  Matrix matrix;
  matrix.resize(rank == 1 ? 1 : tensor.shape()[0], tensor.shape()[rank - 1]);
  if (tensor.dtype() == cuqat::DType::kF32) {
    std::memcpy(matrix.values.data(), tensor.data(), tensor.size_bytes());
  } else if (tensor.dtype() == cuqat::DType::kBF16) {
    const auto* const bytes = static_cast<const std::byte*>(tensor.data());
    for (std::size_t i = 0; i < matrix.values.size(); ++i) {
      std::uint16_t upper;
      std::memcpy(&upper, bytes + i * sizeof(upper), sizeof(upper));
      matrix.values[i] = std::bit_cast<float>(std::uint32_t{upper} << 16);
    }
  } else {
    throw std::runtime_error(file_and_tensor + " is neither F32 nor BF16");
  }
  return matrix;
}

Tokens tokens(const LinearLayer& layer, const Matrix& input, std::int64_t first, std::int64_t count,
              const cuqat::HostOptions& host) {
  Tokens result;
  const auto begin = input.values.begin() + first * input.columns;
  result.input = {count, input.columns, {begin, begin + count * input.columns}};
  result.output.resize(count, layer.weight.rows);
  cuqat::linear(result.input.view(), layer.weight.view(), layer.bias, result.output.view(), host);
  return result;
}

}  // namespace

LinearLayer load_layer(const std::string& weight, const std::string& bias, const std::string& input,
                       std::int64_t train, const cuqat::HostOptions& host) {
  LinearLayer layer;
  layer.weight = load(weight);
  layer.bias.resize(static_cast<std::size_t>(layer.weight.rows));
  if (!bias.empty()) layer.bias = load(bias).values;
  const Matrix all = load(input);
  if (all.columns != layer.weight.columns ||
      static_cast<std::int64_t>(layer.bias.size()) != layer.weight.rows) {
    throw std::runtime_error("weight, bias and input are not of one layer");
  }
  if (train >= all.rows) {
    throw std::runtime_error("there are " + std::to_string(all.rows) + " tokens; none is held out");
  }
  layer.train = tokens(layer, all, 0, train, host);
  layer.held_out = tokens(layer, all, train, all.rows - train, host);
  return layer;
}
