// Channels scaled, and two products compared.
#include <cmath>
#include <limits>

#include "reference/element.hpp"
#include "reference/number.hpp"
#include "reference/operations.hpp"
#include "reference/scales.hpp"

namespace cuqat::reference {

void scale_elements(const detail::ScaledTensor& tensor, const void* x, void* y, bool divides) {
  in_compute_type(tensor.dtype, [&](auto zero) {
    using C = decltype(zero);
    for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
      const C value = static_cast<C>(load(tensor.dtype, x, i));
      const C scale = scale_at<C>(tensor, scale_index(tensor, i)).scale;
      C scaled = divides ? value / scale : value * scale;
      if (std::isnan(scaled)) scaled = std::numeric_limits<C>::quiet_NaN();
      store(tensor.dtype, y, i, scaled);
    }
  });
}

void product_error(const detail::ProductError& products, double* error, double* signal) {
  const auto product = [&](const double* left, const double* right, std::int64_t row,
                           std::int64_t output) {
    double sum = 0.0;
    for (std::int64_t j = 0; j < products.inputs; ++j) {
      sum += left[row * products.inputs + j] * right[j * products.outputs + output];
    }
    return sum;
  };
  *error = 0.0;
  *signal = 0.0;
  for (std::int64_t row = 0; row < products.rows; ++row) {
    double row_error = 0.0;
    double row_signal = 0.0;
    for (std::int64_t output = 0; output < products.outputs; ++output) {
      const double exact = product(products.x, products.w_transposed, row, output);
      const double difference = exact - product(products.xq, products.wq_transposed, row, output);
      row_error += difference * difference;
      row_signal += exact * exact;
    }
    *error += row_error;
    *signal += row_signal;
  }
}

}  // namespace cuqat::reference
