// The layer to tune: what it computes in f32, and on what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuqat/backend.hpp"
#include "matrix.hpp"

/// Inputs, a row a token, and the outputs of the f32 layer.
struct Tokens {
  Matrix input;
  Matrix output;
};

struct LinearLayer {
  Matrix weight;            // [out, in].
  std::vector<float> bias;  // [out].
  Tokens train;
  Tokens held_out;
};

/// Tensors as FILE:TENSOR; an empty bias is 0. The first `train` rows of the input are to train on,
/// all others are held out.
LinearLayer load_layer(const std::string& weight, const std::string& bias, const std::string& input,
                       std::int64_t train, const cuqat::HostOptions& host);
