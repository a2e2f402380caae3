#include "cli/sample_files.hpp"

#include <bit>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/program.hpp"

namespace cuqat::test {

RawTensor f32_tensor(std::string name, std::vector<std::int64_t> shape,
                     const std::vector<float>& values) {
  return {std::move(name), "F32", std::move(shape), raw_bytes(values)};
}

std::string safetensors_bytes(const std::vector<RawTensor>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::string data;
  for (const RawTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + text + data;
}

void write_safetensors_file(const std::string& path, const std::vector<RawTensor>& tensors) {
  write_file(path, safetensors_bytes(tensors));
}

std::string npy_bytes(std::string_view descr, const std::string& shape, const std::string& bytes,
                      bool fortran_order) {
  std::string header = "{'descr': '" + std::string(descr) +
                       "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  return file + header + bytes;
}

std::vector<RawTensor> read_safetensors_file(const std::string& path) {
  const std::string bytes = read_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const auto header = nlohmann::ordered_json::parse(bytes.substr(sizeof(length), length));
  const std::size_t data = sizeof(length) + length;
  std::vector<RawTensor> tensors;
  for (const auto& [name, info] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = info["data_offsets"][0].get<std::size_t>();
    const auto end = info["data_offsets"][1].get<std::size_t>();
    tensors.push_back({name, info["dtype"].get<std::string>(),
                       info["shape"].get<std::vector<std::int64_t>>(),
                       bytes.substr(data + begin, end - begin)});
  }
  return tensors;
}

const RawTensor& find_tensor(const std::vector<RawTensor>& tensors, std::string_view name) {
  for (const RawTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + std::string(name));
}

std::vector<float> activations(std::size_t count, std::uint32_t seed) {
  std::minstd_rand random(seed);
  const auto uniform = [&] { return static_cast<float>(random() % 65'537) / 65'536.0f - 0.5f; };
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) {
    const float bell = uniform() + uniform() + uniform() + uniform();
    values.push_back(i % 97 == 0 ? bell * 9.0f : bell);
  }
  return values;
}

std::vector<std::uint16_t> truncated_to_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float value : values) {
    result.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  }
  return result;
}

}  // namespace cuqat::test
