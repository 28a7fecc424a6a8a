// Number types of the CUDA kernels, and how they are started. No PyTorch header is needed.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "arguments.h"

#define EVERYWHERE __host__ __device__

EVERYWHERE inline float load(float x) { return x; }
EVERYWHERE inline double load(double x) { return x; }
EVERYWHERE inline float load(__half x) { return __half2float(x); }
EVERYWHERE inline float load(__nv_bfloat16 x) { return __bfloat162float(x); }

EVERYWHERE inline void store(float& to, float x) { to = x; }
EVERYWHERE inline void store(double& to, double x) { to = x; }
EVERYWHERE inline void store(__half& to, float x) { to = __float2half_rn(x); }
EVERYWHERE inline void store(__nv_bfloat16& to, float x) { to = __float2bfloat16_rn(x); }

#include "common.h"

// As many neighbours as one access of 16 bytes moves, or a single value.
template <class T, int kCount>
struct alignas(kCount * sizeof(T)) Pack {
  T values[kCount];
};

template <class T>
constexpr int kPacked = 16 / sizeof(T);

// Whether runs of `run` values divide into packs, and the addresses allow it.
template <class T, class... Pointers>
bool packs(int64_t run, Pointers... pointers) {
  return run % kPacked<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

constexpr unsigned kThreads = 256;

// One thread for each of `count` things of each plane; kernels step on where a grid is too small.
inline dim3 grid(int64_t count, int64_t planes) {
  return dim3(unsigned((count + kThreads - 1) / kThreads), unsigned(std::min<int64_t>(planes, 65535)));
}

inline const char* outcome() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

// Calls the function object with a null pointer of the images' type.
template <class F>
const char* dispatch(int64_t dtype, F&& function) {
  switch (dtype) {
    case kFloat32: return function(static_cast<float*>(nullptr));
    case kBFloat16: return function(static_cast<__nv_bfloat16*>(nullptr));
    case kFloat64: return function(static_cast<double*>(nullptr));
    case kFloat16: return function(static_cast<__half*>(nullptr));
  }
  return "unknown number type";
}
