// Runs one operation of a backend on a case, between guard zones, and gives all that it wrote.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "support/backends.hpp"
#include "support/scaled_case.hpp"

namespace cuqat::test {

/// Where the tensors lie and what the outputs hold before.
struct Placement {
  std::size_t input_offset = 0;   ///< Bytes past a multiple of 64.
  std::size_t output_offset = 0;  ///< The same.
  std::byte fill{0xa5};
};

struct Output {
  std::string name;
  Bytes content;
};
using Outputs = std::vector<Output>;

/// Runs the operation in each of its ways (with and without the optional outputs, in place, both
/// layouts). Fails the test where a guard zone or an input was written.
struct Operation {
  const char* name;
  Outputs (*run)(Table, const CaseData&, const Placement&);
};

Outputs run_quantize(Table table, const CaseData& data, const Placement& placement);
Outputs run_dequantize(Table table, const CaseData& data, const Placement& placement);
Outputs run_fake_quantize(Table table, const CaseData& data, const Placement& placement);
Outputs run_backward(Table table, const CaseData& data, const Placement& placement);
Outputs run_backward_from_mask(Table table, const CaseData& data, const Placement& placement);
Outputs run_learned_scale(Table table, const CaseData& data, const Placement& placement);
Outputs run_statistics(Table table, const CaseData& data, const Placement& placement);
Outputs run_quantization_error(Table table, const CaseData& data, const Placement& placement);
Outputs run_key_histogram(Table table, const CaseData& data, const Placement& placement);
Outputs run_linear_histogram(Table table, const CaseData& data, const Placement& placement);
Outputs run_order_statistics(Table table, const CaseData& data, const Placement& placement);
/// As a matrix that has the case's scales; nothing where there is none, as for a middle channel.
Outputs run_quantize_transposed(Table table, const CaseData& data, const Placement& placement);
Outputs run_scale_elements(Table table, const CaseData& data, const Placement& placement);

inline constexpr std::array kOperations = {
    Operation{"quantize", run_quantize},
    Operation{"dequantize", run_dequantize},
    Operation{"fake_quantize", run_fake_quantize},
    Operation{"fake_quantize_backward", run_backward},
    Operation{"fake_quantize_backward_from_mask", run_backward_from_mask},
    Operation{"learned_scale_backward", run_learned_scale},
    Operation{"statistics", run_statistics},
    Operation{"quantization_error", run_quantization_error},
    Operation{"key_histogram", run_key_histogram},
    Operation{"linear_histogram", run_linear_histogram},
    Operation{"order_statistics", run_order_statistics},
    Operation{"quantize_transposed", run_quantize_transposed},
    Operation{"scale_elements", run_scale_elements}};

/// Empty where both are the same bytes, else where they first differ.
std::string first_difference(const Outputs& expected, const Outputs& actual);

}  // namespace cuqat::test
