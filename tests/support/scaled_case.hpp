// One case of an operation over a scaled tensor: its parameters, and the data made from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "cuqat/quant_params.hpp"
#include "host/operation_table.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {

/// What the elements of a tensor are like.
enum class DataKind : std::uint8_t {
  kNormal,
  kUniform,
  kTies,           ///< Midway between two codes, or a neighbour of such a number.
  kZeros,          ///< +0 and -0.
  kNegativeZeros,  ///< -0 only.
  kConstant,
  kNotFinite,  ///< Half of them NaN and infinities.
  kSubnormal,
  kExtreme,    ///< The largest finite number, and its negative.
  kTinyScale,  ///< Scales near 1e-38 (f64: 1e-308), elements to match.
  kHugeScale,  ///< Scales near 3e38 (f64: 1e308), elements to match.
  kAnyBits,    ///< Random patterns.
  kMixed       ///< Any of the above (but the scales), element by element.
};
inline constexpr int kNumDataKinds = 13;

const char* to_string(DataKind kind);

struct ScaledCase {
  Quantizer quantizer;
  DType dtype = DType::kF32;
  Shape shape;
  Granularity granularity;
  DataKind data = DataKind::kNormal;
  int num_threads = 1;
  std::uint64_t seed = 0;
};

std::ostream& operator<<(std::ostream& stream, const ScaledCase& test_case);

/// The scale that element `index` uses, from the definition of a granularity.
std::size_t scale_index(const Shape& shape, const Granularity& granularity, std::int64_t index);

/// A case's tensors and scales, the same for the same case.
class CaseData {
 public:
  explicit CaseData(const ScaledCase& test_case);

  [[nodiscard]] const ScaledCase& parameters() const noexcept { return case_; }
  /// Points into this object.
  [[nodiscard]] detail::ScaledTensor scaled() const;
  [[nodiscard]] std::size_t count() const { return static_cast<std::size_t>(case_.shape.count()); }
  [[nodiscard]] std::size_t num_scales() const { return scale_.size(); }

  [[nodiscard]] const Bytes& x() const noexcept { return x_; }
  /// A gradient of x's shape; with NaN and infinities where x has them by design.
  [[nodiscard]] const Bytes& dy() const noexcept { return dy_; }
  [[nodiscard]] double scale(std::size_t index) const { return scale_[index]; }
  [[nodiscard]] std::int32_t zero_point(std::size_t index) const { return zero_point_[index]; }
  [[nodiscard]] std::size_t scale_of(std::size_t element) const {
    return scale_index(case_.shape, case_.granularity, static_cast<std::int64_t>(element));
  }
  /// Largest finite magnitude of the elements of each scale.
  [[nodiscard]] std::vector<double> amax() const;

 private:
  void make_scales(Random& random);
  void make_elements(Random& random);
  double tie(Random& random, std::size_t element) const;

  ScaledCase case_;
  std::vector<double> scale_;
  std::vector<float> narrow_scale_;
  std::vector<std::int32_t> zero_point_;
  Bytes x_;
  Bytes dy_;
};

}  // namespace cuqat::test
