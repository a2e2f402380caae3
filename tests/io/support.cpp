#include "support.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "cuqat/scalar/half.hpp"

namespace cuqat::io::testing {

Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  return safetensors_bytes(header.size(), header, data_bytes);
}

Bytes safetensors_bytes(std::uint64_t length, std::string_view header, std::size_t data_bytes) {
  std::string text(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) text[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return bytes_of(text + std::string(header) + std::string(data_bytes, '\0'));
}

Bytes npy_bytes(std::string_view header, std::size_t data_bytes) {
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(header.size() & 0xff);
  text += static_cast<char>(header.size() >> 8);
  return bytes_of(text + std::string(header) + std::string(data_bytes, '\0'));
}

std::filesystem::path fixture_path(const std::string& name) {
  return std::filesystem::path(CUQAT_TEST_DATA_DIR) / "io" / name;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  return bytes_of(std::string(std::istreambuf_iterator<char>(file), {}));
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

namespace {

template <typename T>
std::vector<double> elements_as(const ConstTensorView& view) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < view.count(); ++i) {
    T value;
    std::memcpy(&value, static_cast<const std::byte*>(view.data()) + i * std::int64_t{sizeof(T)},
                sizeof(T));
    result.push_back(static_cast<double>(scalar::load_compute(value)));
  }
  return result;
}

}  // namespace

std::vector<double> elements(const ConstTensorView& view) {
  switch (view.dtype()) {
    case DType::kF32:
      return elements_as<float>(view);
    case DType::kF64:
      return elements_as<double>(view);
    case DType::kF16:
      return elements_as<float16>(view);
    case DType::kBF16:
      return elements_as<bfloat16>(view);
  }
  return {};
}

std::vector<double> fixture_values(std::int64_t count) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(static_cast<double>(i - 5) * 0.375);
  return result;
}

std::vector<std::int64_t> extents(const ConstTensorView& view) {
  const auto span = view.shape().extents();
  return {span.begin(), span.end()};
}

ScratchFolder::ScratchFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "cuqat_io_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
  std::filesystem::remove_all(path_, ignored);
}

WithoutRoot::WithoutRoot() {
  constexpr uid_t kNobody = 65534;
  if (geteuid() != 0) return;
  if (seteuid(kNobody) != 0) throw std::runtime_error("cannot stop being root");
  changed_ = true;
}

WithoutRoot::~WithoutRoot() {
  if (changed_ && seteuid(0) != 0) ADD_FAILURE() << "cannot become root again";
}

std::vector<std::string> ScratchFolder::names() const {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    result.push_back(entry.path().filename().string());
  }
  std::ranges::sort(result);
  return result;
}

}  // namespace cuqat::io::testing
