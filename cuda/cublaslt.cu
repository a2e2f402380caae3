#include "cublaslt.hpp"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <type_traits>

#include "cuqat/error.hpp"

namespace cuqat::gpu {
namespace {

std::atomic<bool> has_ended = false;

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
  // Functions that are registered later are called earlier: this one before the library's own.
  static_cast<void>(std::atexit([] { has_ended = true; }));
  CublasLt all{};
  find(all.create, "cublasLtCreate");
  find(all.destroy, "cublasLtDestroy");
  find(all.status_name, "cublasLtGetStatusName");
  find(all.version, "cublasLtGetVersion");
  find(all.matmul, "cublasLtMatmul");
  find(all.check_way, "cublasLtMatmulAlgoCheck");
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

bool cublaslt_has_ended() { return has_ended; }

}  // namespace cuqat::gpu
