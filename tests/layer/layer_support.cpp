#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

std::vector<Granularity> granularities(QatProduct product) {
  std::vector<Granularity> all{Granularity::tensor(), Granularity::channel(0)};
  if (product == QatProduct::kNumbers) all.push_back(Granularity::group(16));
  return all;
}

}  // namespace

std::vector<LayerCase> integer_cases(QatProduct product) {
  std::vector<LayerCase> cases;
  for (const DType dtype : kDTypes) {
    for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kOriginal}) {
      for (const Granularity& granularity : granularities(product)) {
        for (const int choice : {0, 1, 2, 3, 4, 5, 6, 7}) {
          const Format format = (choice & 4) != 0 ? Format::kInt4 : Format::kInt8;
          const CalibrationOptions weight = options_of(format, (choice & 1) != 0, rounding);
          const bool symmetric = (choice & 2) != 0;
          for (const Format of_x : {Format::kInt8, Format::kInt4}) {
            cases.push_back(layer_case(weight, granularity, options_of(of_x, symmetric, rounding),
                                       product, dtype));
          }
        }
      }
    }
  }
  return cases;
}

std::vector<LayerCase> fp8_cases(QatProduct product) {
  std::vector<LayerCase> cases;
  for (const DType dtype : kDTypes) {
    if (product == QatProduct::kCodes && dtype == DType::kF64) continue;
    for (const Format weight : {Format::kE4M3, Format::kE5M2}) {
      for (const Format activation : {Format::kE4M3, Format::kE5M2}) {
        for (const Granularity& granularity : granularities(product)) {
          cases.push_back(
              layer_case(options_of(weight), granularity, options_of(activation), product, dtype));
        }
      }
    }
  }
  return cases;
}

}  // namespace cuqat::test
