// Must not compile. See CMakeLists.txt.
#include <cuda_runtime.h>

template <class T>
__global__ void kernel(T* result) {
  __shared__ T sums[3];
  sums[0] = 1;
  *result = sums[0];
}
template void kernel(float*);
