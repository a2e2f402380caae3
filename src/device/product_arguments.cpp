#include "device/product_arguments.hpp"

namespace cuqat::detail {

gpu::NumberType number_type(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return gpu::NumberType::kF64;
    case DType::kF16:
      return gpu::NumberType::kF16;
    case DType::kBF16:
      return gpu::NumberType::kBF16;
    case DType::kF32:
      break;
  }
  return gpu::NumberType::kF32;
}

gpu::NumberType number_type(Format format) {
  return is_integer(format)        ? gpu::NumberType::kInt8
         : format == Format::kE4M3 ? gpu::NumberType::kE4M3
                                   : gpu::NumberType::kE5M2;
}

void check_codes(std::string_view name, DeviceSpan<const std::uint8_t> codes, std::int64_t rows,
                 std::int64_t k, const DeviceContext& context) {
  check_device_span(name, codes, static_cast<std::size_t>(rows * k), "one code for each element",
                    context);
}

gpu::Scratch check_scratch(const gpu::CodeProduct& product, const std::int32_t* y,
                           const DeviceContext& context) {
  return {scratch(gpu::least_product_scratch_bytes(product, y), context),
          context.workspace_bytes()};
}

}  // namespace cuqat::detail
