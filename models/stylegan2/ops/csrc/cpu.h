// Number types of the CPU kernels. Loops are left to the compiler to vectorise.
#pragma once
#include <cstdint>
#include <cstring>

#include "arguments.h"

#define EVERYWHERE

struct BFloat16 {
  uint16_t bits;
};

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
inline void store(BFloat16& to, float x) {  // rounds half to even; NaN stays NaN, as processors make it
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to.bits = uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

#include "common.h"

// As many numbers as a register holds, for the loops that the compiler would not keep in registers by itself.
#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
using Vector = float __attribute__((vector_size(4 * kLanes)));
using BitVector = uint32_t __attribute__((vector_size(4 * kLanes)));
using HalfVector = uint16_t __attribute__((vector_size(2 * kLanes)));

inline Vector load_vector(const float* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline Vector load_vector(const BFloat16* from) {
  HalfVector half;
  std::memcpy(&half, from, sizeof half);
  const BitVector bits = __builtin_convertvector(half, BitVector) << 16;
  Vector value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store_vector(float* to, Vector x) { std::memcpy(to, &x, sizeof x); }
inline void store_vector(BFloat16* to, Vector x) {
  BitVector bits;
  std::memcpy(&bits, &x, sizeof bits);
  const HalfVector half = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, HalfVector);
  std::memcpy(to, &half, sizeof half);
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
