#include "support/golden_file.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

namespace cuqat::test {
namespace {

std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw std::runtime_error("cannot read " + path.string());
  return bytes;
}

template <typename T>
std::vector<T> elements(const std::string& name, const GoldenArray& array, const char* dtype) {
  const auto count = static_cast<std::size_t>(
      std::accumulate(array.shape.begin(), array.shape.end(), std::int64_t{1}, std::multiplies{}));
  if (array.dtype != dtype || array.bytes.size() != count * sizeof(T)) {
    throw std::runtime_error(name + " is no array of " + dtype);
  }
  std::vector<T> values(count);
  if (count != 0) std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
  return values;
}

}  // namespace

GoldenFile::GoldenFile(const std::filesystem::path& path) : bytes_(read_bytes(path)) {
  std::uint64_t header_bytes = 0;
  if (bytes_.size() < sizeof(header_bytes)) throw std::runtime_error("no header: " + path.string());
  std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
  const std::span<const std::byte> rest = std::span(bytes_).subspan(sizeof(header_bytes));
  if (header_bytes > rest.size()) throw std::runtime_error("cut header: " + path.string());

  const auto* text = reinterpret_cast<const char*>(rest.data());
  const auto data = rest.subspan(header_bytes);
  const auto header = nlohmann::ordered_json::parse(text, text + header_bytes);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto [begin, end] =
        entry.at("data_offsets").get<std::pair<std::uint64_t, std::uint64_t>>();
    if (begin > end || end > data.size()) throw std::runtime_error("bad offsets: " + name);
    names_.push_back(name);
    arrays_.emplace(name, GoldenArray{entry.at("dtype").get<std::string>(),
                                      entry.at("shape").get<std::vector<std::int64_t>>(),
                                      data.subspan(begin, end - begin)});
  }
}

const GoldenArray& GoldenFile::array(const std::string& name) {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) throw std::runtime_error("no array " + name);
  read_.insert(name);
  return found->second;
}

std::vector<double> GoldenFile::f64(const std::string& name) {
  return elements<double>(name, array(name), "F64");
}
std::vector<std::int64_t> GoldenFile::i64(const std::string& name) {
  return elements<std::int64_t>(name, array(name), "I64");
}
std::vector<std::int8_t> GoldenFile::i8(const std::string& name) {
  return elements<std::int8_t>(name, array(name), "I8");
}

std::vector<std::string> GoldenFile::unread() const {
  std::vector<std::string> result;
  std::copy_if(names_.begin(), names_.end(), std::back_inserter(result),
               [this](const std::string& name) { return !read_.contains(name); });
  return result;
}

}  // namespace cuqat::test
