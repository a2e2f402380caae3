// How a launcher starts a kernel.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

enum cudaLaunchAttributeID {
  cudaLaunchAttributeIgnore = 0,
  cudaLaunchAttributeCooperative = 2,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6
};

union cudaLaunchAttributeValue {
  char pad[64];
  int cooperative;
  int programmaticStreamSerializationAllowed;
};

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

namespace simt {

/// `kernel` only identifies the kernel; `thread_body` is what each thread does.
cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> thread_body) noexcept;

}  // namespace simt

template <class... ExpTypes, class... ActTypes>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(ExpTypes...),
                               ActTypes&&... args) {
  static_assert((std::is_trivially_copyable_v<ExpTypes> && ...),
                "kernel arguments travel to the device as bytes");
  // The inner parameters convert the arguments exactly as a call of the kernel would.
  return [&](ExpTypes... converted) {
    return simt::launch(config, reinterpret_cast<const void*>(kernel),
                        [kernel, converted...] { kernel(converted...); });
  }(std::forward<ActTypes>(args)...);
}
