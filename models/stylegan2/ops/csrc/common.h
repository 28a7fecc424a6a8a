// What the kernels for the CPU and for CUDA share. It stands behind the `load` and `store` of their number types, and
// EVERYWHERE is what a function for both needs there.
#pragma once
#include "arguments.h"

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

// clamp(gain · lrelu(u)), of numbers or vectors; `slope` has the gain in it.
template <class C>
struct Curve {
  C slope, gain, limit;
  EVERYWHERE C operator()(C u) const {
    C y = u * (u > 0 ? gain : slope);
    y = y > limit ? limit : y;
    return y < -limit ? -limit : y;
  }
  // dy/du, which the output tells
  EVERYWHERE C derivative(C y) const { return (y < 0 ? -y : y) < limit ? (y > 0 ? gain : slope) : C(0); }
};

template <class T>
EVERYWHERE Curve<Compute<T>> curve_of(const BiasAct& a) {
  using C = Compute<T>;
  T limit;  // rounded like the output that the derivative compares with it
  store(limit, C(a.limit));
  return {C(a.slope * a.gain), C(a.gain), load(limit)};
}

// The taps that meet pixels, not inserted zeros, for one output position along one axis.
struct Taps {
  int first, count, pixel;  // tap, number of taps (each `up` after the last), pixel that the first one meets
  EVERYWHERE Taps(int output, int up, int down, int before, int length) {
    const int position = output * down - before;
    first = ((-position) % up + up) % up;
    count = first < length ? (length - first + up - 1) / up : 0;
    pixel = (position + first) / up;
  }
};
