#include "digits.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

#include "cuqat/tensor_file.hpp"

namespace {

constexpr std::int64_t kTestImages = 450;

template <typename To, typename Stored>
std::vector<To> elements(const cuqat::StoredTensor& tensor) {
  std::vector<To> result(tensor.bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < result.size(); ++i) {
    Stored value;
    std::memcpy(&value, tensor.bytes.data() + i * sizeof(Stored), sizeof(Stored));
    result[i] = static_cast<To>(value);
  }
  return result;
}

/// Pixels are bytes from 0 to 16, or floats from 0 to 1.
Matrix read_pixels(const cuqat::TensorFile& file) {
  const cuqat::StoredTensor images = file.stored("images");
  if (images.shape.size() != 2 || images.shape[1] != kPixels) {
    throw std::runtime_error("images are not of 64 pixels");
  }
  Matrix pixels{images.shape[0], kPixels, {}};
  if (images.dtype == "F32") {
    pixels.values = elements<float, float>(images);
  } else if (images.dtype == "U8") {
    pixels.values = elements<float, std::uint8_t>(images);
    for (float& pixel : pixels.values) pixel /= 16.0f;
  } else {
    throw std::runtime_error("images are " + images.dtype + ", not U8 or F32");
  }
  return pixels;
}

std::vector<int> read_labels(const cuqat::TensorFile& file) {
  const cuqat::StoredTensor labels = file.stored("labels");
  std::vector<int> digits;
  if (labels.dtype == "I64") {
    digits = elements<int, std::int64_t>(labels);
  } else if (labels.dtype == "U8") {
    digits = elements<int, std::uint8_t>(labels);
  } else {
    throw std::runtime_error("labels are " + labels.dtype + ", not U8 or I64");
  }
  const auto is_no_digit = [](int digit) { return digit < 0 || digit >= kClasses; };
  if (std::ranges::any_of(digits, is_no_digit)) {
    throw std::runtime_error("labels are not all from 0 to 9");
  }
  return digits;
}

}  // namespace

std::vector<std::int64_t> shuffled(std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  std::mt19937_64 random(seed);
  // Not std::shuffle, whose order is another in each standard library.
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

Images select(const Images& from, const std::vector<std::int64_t>& rows) {
  Images result;
  result.pixels.resize(static_cast<std::int64_t>(rows.size()), from.pixels.columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::ranges::copy(from.pixels.row(rows[i]),
                      result.pixels.row(static_cast<std::int64_t>(i)).begin());
    result.digits.push_back(from.digits[static_cast<std::size_t>(rows[i])]);
  }
  return result;
}

Digits load_digits(const std::string& path, std::uint64_t split_seed) {
  const cuqat::TensorFile file(path);
  Images all{read_pixels(file), read_labels(file)};
  if (all.pixels.rows != static_cast<std::int64_t>(all.digits.size()) ||
      all.pixels.rows <= kTestImages) {
    throw std::runtime_error(path + " has too few images, or not as many labels");
  }
  const std::vector<std::int64_t> order = shuffled(all.pixels.rows, split_seed);
  return {select(all, {order.begin() + kTestImages, order.end()}),
          select(all, {order.begin(), order.begin() + kTestImages})};
}
