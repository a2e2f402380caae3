// The products of a build without CUDA or without cuBLASLt's header.
#include "cuqat/device_gemm.hpp"
#include "cuqat/error.hpp"

namespace cuqat {
namespace {

[[noreturn]] void unavailable() {
  throw BackendUnavailable("this build of cuqat has no CUDA code, or none for cuBLASLt");
}

}  // namespace

std::size_t product_workspace_bytes(const GemmShape&) { unavailable(); }
void int8_gemm(DeviceSpan<const std::uint8_t>, DeviceSpan<const std::uint8_t>, const GemmShape&,
               DeviceSpan<std::int32_t>, const DeviceContext&, StreamRef) {
  unavailable();
}
void sum_code_rows(DeviceSpan<const std::uint8_t>, std::int64_t, DeviceSpan<std::int64_t>,
                   const DeviceContext&, StreamRef) {
  unavailable();
}
void int8_linear(DeviceSpan<const std::uint8_t>, const DeviceQuantParams&,
                 DeviceSpan<const std::uint8_t>, const DeviceQuantParams&, const GemmShape&,
                 ConstDeviceTensorView, DeviceSpan<const std::int64_t>, DeviceTensorView,
                 const DeviceContext&, StreamRef) {
  unavailable();
}
void int8_linear(DeviceSpan<const std::uint8_t>, const DeviceQuantParams&,
                 DeviceSpan<const std::uint8_t>, const DeviceQuantParams&, const GemmShape&,
                 ConstDeviceTensorView, DeviceSpan<const std::int64_t>, const DeviceQuantParams&,
                 DeviceSpan<std::uint8_t>, const DeviceContext&, StreamRef) {
  unavailable();
}
void fp8_linear(DeviceSpan<const std::uint8_t>, const DeviceQuantParams&,
                DeviceSpan<const std::uint8_t>, const DeviceQuantParams&, const GemmShape&,
                ConstDeviceTensorView, DeviceTensorView, const DeviceContext&, StreamRef) {
  unavailable();
}
void gemm(ConstDeviceTensorView, Transpose, ConstDeviceTensorView, Transpose, DeviceTensorView,
          const DeviceContext&, StreamRef) {
  unavailable();
}
void linear(ConstDeviceTensorView, ConstDeviceTensorView, ConstDeviceTensorView, DeviceTensorView,
            const DeviceContext&, StreamRef) {
  unavailable();
}

std::vector<std::byte> save_product_plans(const DeviceContext&) { unavailable(); }
void load_product_plans(std::span<const std::byte>, const DeviceContext&) { unavailable(); }

}  // namespace cuqat
