// A layer of codes, as tests of its product make one on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "cuqat/gemm.hpp"
#include "cuqat/quant_params.hpp"

namespace cuqat::test {

using Codes = std::vector<std::uint8_t>;

/// One layer, its codes and its scales.
struct Layer {
  GemmShape shape;
  Codes x;
  Codes w;
  QuantParams x_params;
  QuantParams w_params;
  std::vector<double> bias;  ///< Or empty.
};

}  // namespace cuqat::test
