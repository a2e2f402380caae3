// From a Quantizer's run-time fields to the compile-time type of the scalar layer.
#pragma once

#include <utility>

#include "cuqat/scalar/element.hpp"

namespace cuqat::calibration {

/// Calls `function.template operator()<Q>()` with the ElementQuantizer of this format and rounding.
template <typename Function>
decltype(auto) dispatch_quantizer(const Quantizer& quantizer, Function&& function) {
  using scalar::ElementQuantizer;
  const bool original = quantizer.rounding == Rounding::kOriginal;
  switch (quantizer.format) {
    case Format::kInt4:
      if (original) {
        return function.template operator()<ElementQuantizer<Format::kInt4, Rounding::kOriginal>>();
      }
      return function.template operator()<ElementQuantizer<Format::kInt4>>();
    case Format::kE4M3:
      return function.template operator()<ElementQuantizer<Format::kE4M3>>();
    case Format::kE5M2:
      return function.template operator()<ElementQuantizer<Format::kE5M2>>();
    case Format::kInt8:
      break;
  }
  if (original) {
    return function.template operator()<ElementQuantizer<Format::kInt8, Rounding::kOriginal>>();
  }
  return function.template operator()<ElementQuantizer<Format::kInt8>>();
}

}  // namespace cuqat::calibration
