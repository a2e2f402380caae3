// A matrix of floats, and how cuqat sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/tensor_view.hpp"

struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;  // Row-major.

  void resize(std::int64_t new_rows, std::int64_t new_columns) {
    rows = new_rows;
    columns = new_columns;
    values.resize(static_cast<std::size_t>(rows * columns));
  }
  std::span<float> row(std::int64_t i) {
    return std::span(values).subspan(static_cast<std::size_t>(i * columns),
                                     static_cast<std::size_t>(columns));
  }
  std::span<const float> row(std::int64_t i) const {
    return std::span(values).subspan(static_cast<std::size_t>(i * columns),
                                     static_cast<std::size_t>(columns));
  }
  cuqat::TensorView view() { return {values.data(), cuqat::Shape{rows, columns}}; }
  cuqat::ConstTensorView view() const { return {values.data(), cuqat::Shape{rows, columns}}; }
};
