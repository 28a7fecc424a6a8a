// Number types of the CPU kernels. Loops are left to the compiler to vectorise.
#pragma once
#include <cstdint>
#include <cstring>

#include "arguments.h"

struct BFloat16 {
  uint16_t bits;
};

// Arithmetic runs in float32, or in float64 for float64 images.
template <class T>
struct ComputeOf {
  using Type = float;
};
template <>
struct ComputeOf<double> {
  using Type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::Type;

inline float load(float x) { return x; }
inline double load(double x) { return x; }
inline float load(BFloat16 x) {
  uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float& to, float x) { to = x; }
inline void store(double& to, double x) { to = x; }
inline void store(BFloat16& to, float x) {  // rounds half to even
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  to.bits = uint16_t(x != x ? 0x7fc0 : rounded);
}

// Calls the function object with a null pointer of the images' type.
template <class F>
void dispatch(int64_t dtype, F&& function) {
  switch (dtype) {
    case kFloat32: return function(static_cast<float*>(nullptr));
    case kBFloat16: return function(static_cast<BFloat16*>(nullptr));
    case kFloat64: return function(static_cast<double*>(nullptr));
  }
}
