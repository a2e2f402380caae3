// The one macro of the library: functions that run on the host and on the device.
//
// They are always inlined. The CPU backend compiles its loops once per instruction set, and an
// out-of-line copy compiled for a newer one must never be what the linker keeps.
//
// Code that uses this layer is compiled with -ffp-contract=off (g++, clang) or -fmad=false (nvcc)
// and without fast-math: a fused x * s + z is another number.
#pragma once

#if defined(__CUDACC__)
#define CUQAT_HD __host__ __device__ __forceinline__
#else
#define CUQAT_HD inline __attribute__((always_inline))
#endif
