// Stands in front of the CUDA toolkit's header of this name, so that plain g++ compiles kernels and
// launchers and the executor runs them. It declares the part of CUDA that cuqat uses, under CUDA's
// own names; what is missing here is not to be used without a thought about how it is tested.
// __CUDACC__ and __CUDA_ARCH__ stay undefined: this is host code.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

// `extern __shared__ ... cuqat_shared_memory[]` names the executor's arena. A variable of static
// size would become an ordinary local, one for each thread, and tests would pass for the wrong
// reason: g++ cannot apply this attribute to a local variable, says so, and the pragma makes that
// an error.
#define __shared__ __attribute__((visibility("default")))
#pragma GCC diagnostic error "-Wattributes"

#include "simt/vector_types.h"

#include "simt/device.h"

#include "simt/atomics.h"

#include "simt/runtime_api.h"

#include "simt/launch.h"
