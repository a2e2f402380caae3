// The JSON header of a safetensors file, read into a table.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/tensor_entry.hpp"

namespace cuqat::io {

/// What the header says, its form checked, its numbers not yet compared with the file.
struct SafetensorsHeader {
  struct Tensor {
    TensorInfo info;
    std::uint64_t begin = 0;  ///< Of its bytes, counted from the end of the header.
    std::uint64_t end = 0;
  };
  std::vector<Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// @throws FileError, naming `file`, for text that is no such header. Repeated tensor names pass.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& file);

}  // namespace cuqat::io
