// clamp(gain · lrelu(x · scale + noise + bias)) and its gradients on the CPU, each in one pass over the images.
#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu.h"

namespace {

// Consecutive values of work in one piece; enough that starting threads costs nothing beside it.
constexpr int64_t kBlock = 1 << 15;

template <class T>
void forward(const BiasAct& a) {
  using C = Compute<T>;
  const Curve<C> curve = curve_of<T>(a);
  const auto* x = static_cast<const T*>(a.x);
  auto* y = static_cast<T*>(a.y);
  const auto* scale = static_cast<const C*>(a.scale);
  const auto* noise = static_cast<const C*>(a.noise);
  const auto* bias = static_cast<const C*>(a.bias);
  const int64_t noise_stride = a.noise_per_sample ? a.pixels : 0;
  if (a.channels_last) {
    const std::vector<C> ones(a.channels, C(1)), zeros(a.channels, C(0));
    const C* const offsets = bias ? bias : zeros.data();
    const int64_t step = std::max<int64_t>(1, kBlock / a.channels), blocks = (a.pixels + step - 1) / step;
#pragma omp parallel for collapse(2) if (a.batch * a.pixels * a.channels > kBlock)
    for (int64_t n = 0; n < a.batch; ++n)
      for (int64_t block = 0; block < blocks; ++block) {
        const C* const factors = scale ? scale + n * a.channels : ones.data();
        const int64_t end = std::min(a.pixels, (block + 1) * step);
        for (int64_t s = block * step; s < end; ++s) {
          const C level = noise ? noise[n * noise_stride + s] : C(0);
          const T* from = x + (n * a.pixels + s) * a.channels;
          T* to = y + (n * a.pixels + s) * a.channels;
#pragma omp simd
          for (int64_t c = 0; c < a.channels; ++c)
            store(to[c], curve(load(from[c]) * factors[c] + (level + offsets[c])));
        }
      }
  } else {
    const int64_t blocks = (a.pixels + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) if (a.batch * a.pixels * a.channels > kBlock)
    for (int64_t row = 0; row < a.batch * a.channels; ++row)
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t n = row / a.channels, start = block * kBlock, count = std::min(a.pixels - start, kBlock);
        const C factor = scale ? scale[row] : C(1), offset = bias ? bias[row % a.channels] : C(0);
        const T* from = x + row * a.pixels + start;
        T* to = y + row * a.pixels + start;
        if (noise) {
          const C* levels = noise + n * noise_stride + start;
#pragma omp simd
          for (int64_t s = 0; s < count; ++s) store(to[s], curve(load(from[s]) * factor + (levels[s] + offset)));
        } else {
#pragma omp simd
          for (int64_t s = 0; s < count; ++s) store(to[s], curve(load(from[s]) * factor + offset));
        }
      }
  }
}

// One chunk of one sample's pixels; `du` has room for a run of values.
template <class T>
void backward_chunk(const BiasAct& a, const Curve<Compute<T>> curve, int64_t n, int64_t chunk) {
  using C = Compute<T>;
  const int64_t step = (a.pixels + a.chunks - 1) / a.chunks;
  const int64_t start = std::min(a.pixels, chunk * step), end = std::min(a.pixels, start + step);
  const auto* scale = static_cast<const C*>(a.scale);
  const int64_t sums = (n * a.chunks + chunk) * a.channels;
  C* const to_scale = a.grad_scale ? static_cast<C*>(a.grad_scale) + sums : nullptr;
  C* const to_bias = a.grad_bias ? static_cast<C*>(a.grad_bias) + sums : nullptr;
  C* const to_noise = a.grad_noise ? static_cast<C*>(a.grad_noise) + n * a.pixels : nullptr;
  const int64_t sample = n * a.pixels * a.channels;
  const T* const x = a.x ? static_cast<const T*>(a.x) + sample : nullptr;
  const T* const y = static_cast<const T*>(a.y) + sample;
  const T* const grad = static_cast<const T*>(a.grad) + sample;
  T* const grad_x = static_cast<T*>(a.grad_x) + sample;
  if (a.channels_last) {
    const std::vector<C> ones(a.channels, C(1));
    const C* const factors = scale ? scale + n * a.channels : ones.data();
    std::vector<C> slopes(a.channels);
    C* const du = slopes.data();
    for (int64_t s = start; s < end; ++s) {
      const int64_t at = s * a.channels;
#pragma omp simd
      for (int64_t c = 0; c < a.channels; ++c) {
        du[c] = load(grad[at + c]) * curve.derivative(load(y[at + c]));
        store(grad_x[at + c], du[c] * factors[c]);
      }
      if (to_scale) {
#pragma omp simd
        for (int64_t c = 0; c < a.channels; ++c) to_scale[c] += du[c] * load(x[at + c]);
      }
      if (to_bias) {
#pragma omp simd
        for (int64_t c = 0; c < a.channels; ++c) to_bias[c] += du[c];
      }
      if (to_noise) {
        C sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < a.channels; ++c) sum += du[c];
        to_noise[s] = sum;
      }
    }
  } else {
    for (int64_t c = 0; c < a.channels; ++c) {
      const C factor = scale ? scale[n * a.channels + c] : C(1);
      const int64_t row = c * a.pixels;
      C product = 0, sum = 0;
#pragma omp simd reduction(+ : product, sum)
      for (int64_t s = start; s < end; ++s) {
        const C du = load(grad[row + s]) * curve.derivative(load(y[row + s]));
        store(grad_x[row + s], du * factor);
        sum += du;
        if (to_scale) product += du * load(x[row + s]);
        if (to_noise) to_noise[s] += du;
      }
      if (to_scale) to_scale[c] = product;
      if (to_bias) to_bias[c] = sum;
    }
  }
}

}  // namespace

extern "C" const char* bias_act(const BiasAct* a, void*) {
  dispatch(a->dtype, [&](auto* type) { forward<std::remove_pointer_t<decltype(type)>>(*a); });
  return nullptr;
}

extern "C" const char* bias_act_backward(const BiasAct* a, void*) {
  dispatch(a->dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto curve = curve_of<T>(*a);
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < a->batch; ++n)
      for (int64_t chunk = 0; chunk < a->chunks; ++chunk) backward_chunk<T>(*a, curve, n, chunk);
  });
  return nullptr;
}
