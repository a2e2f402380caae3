#include "cuqat/tensor_file.hpp"

#include <string>
#include <utility>

#include "io/safetensors.hpp"

namespace cuqat {

struct TensorFile::Contents {
  io::SafetensorsFile file;

  [[nodiscard]] const io::TensorEntry& find(std::string_view name) const {
    const io::TensorEntry* const found = file.find(name);
    if (found == nullptr) {
      throw io::FileError(file.display_name(), "there is no tensor " + io::in_quotes(name));
    }
    return *found;
  }
};

TensorFile::TensorFile(const std::string& path)
    : contents_(new Contents{io::SafetensorsFile::open(path)}) {}
TensorFile::~TensorFile() = default;
TensorFile::TensorFile(TensorFile&&) noexcept = default;
TensorFile& TensorFile::operator=(TensorFile&&) noexcept = default;

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  for (const io::TensorEntry& entry : contents_->file.tensors()) names.push_back(entry.name);
  return names;
}

ConstTensorView TensorFile::tensor(std::string_view name) const {
  const io::TensorEntry& entry = contents_->find(name);
  const std::optional<ConstTensorView> view = contents_->file.view(entry);
  if (!view) {
    throw io::FileError(contents_->file.display_name(), "tensor " + io::in_quotes(name) + " is " +
                                                            entry.dtype +
                                                            "; it must be F64, F32, F16 or BF16");
  }
  return *view;
}

StoredTensor TensorFile::stored(std::string_view name) const {
  const io::TensorEntry& entry = contents_->find(name);
  return {entry.dtype, entry.shape, entry.data};
}

}  // namespace cuqat
