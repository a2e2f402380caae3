// The header of a .npy file: a Python dictionary literal of three keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cuqat::io {

struct NpyHeader {
  std::string descr;  ///< As in the file: "<f4".
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Reads "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", the keys in any order and
/// each exactly once. Nothing is evaluated: this is all of Python that it knows.
/// @throws FileError, naming `file`.
NpyHeader parse_npy_header(std::string_view text, const std::string& file);

}  // namespace cuqat::io
