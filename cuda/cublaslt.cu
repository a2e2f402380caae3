#include "cublaslt.hpp"

#include <dlfcn.h>

#include <string>
#include <type_traits>

#include "cuqat/error.hpp"

namespace cuqat::gpu {
namespace {

/// Of the major version whose header this was compiled with: others may differ in their types.
CublasLt load() {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  // Never closed: it may have threads and memory of its own.
  void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw BackendUnavailable("products on the device need " + name +
                             ", which cannot be loaded: " + dlerror());
  }
  const auto find = [&](auto& function, const char* function_name) {
    void* const found = dlsym(library, function_name);
    if (found == nullptr) throw BackendUnavailable(name + " has no " + function_name);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
  };
  CublasLt all{};
  find(all.create, "cublasLtCreate");
  find(all.destroy, "cublasLtDestroy");
  find(all.status_name, "cublasLtGetStatusName");
  find(all.matmul, "cublasLtMatmul");
  find(all.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(all.create_operation, "cublasLtMatmulDescCreate");
  find(all.destroy_operation, "cublasLtMatmulDescDestroy");
  find(all.set_operation, "cublasLtMatmulDescSetAttribute");
  find(all.create_preference, "cublasLtMatmulPreferenceCreate");
  find(all.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  find(all.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  find(all.create_layout, "cublasLtMatrixLayoutCreate");
  find(all.destroy_layout, "cublasLtMatrixLayoutDestroy");
  return all;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt kLoaded = load();
  return kLoaded;
}

}  // namespace cuqat::gpu
