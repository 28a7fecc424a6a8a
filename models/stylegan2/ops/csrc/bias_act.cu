// clamp(gain · lrelu(x · scale + noise + bias)) and its gradient by x on CUDA devices, each in one pass over the images.
#include "cuda.cuh"

namespace {

// Thread (x, y) takes one pack of sample y. Within a sample 32-bit indices do, and divide fast.
template <class T, int kCount, bool kBackward>
__global__ void pass(BiasAct a) {
  using C = Compute<T>;
  const unsigned inner = unsigned(a.channels_last ? a.channels : a.pixels);
  const unsigned size = unsigned(a.channels * a.pixels);
  const unsigned at = (blockIdx.x * blockDim.x + threadIdx.x) * kCount;
  if (at >= size) return;
  const unsigned outer = at / inner, rest = at % inner;
  const Curve<C> curve = curve_of<T>(a);
  const auto* scale = static_cast<const C*>(a.scale);
  const auto* noise = static_cast<const C*>(a.noise);
  const auto* bias = static_cast<const C*>(a.bias);
  for (int64_t n = blockIdx.y; n < a.batch; n += gridDim.y) {
    const int64_t pack = (n * size + at) / kCount;
    const auto* first = static_cast<const Pack<T, kCount>*>(kBackward ? a.grad : a.x);
    const Pack<T, kCount> from = first[pack];
    Pack<T, kCount> to, y;
    if (kBackward) y = static_cast<const Pack<T, kCount>*>(a.y)[pack];
    for (int k = 0; k < kCount; ++k) {
      const unsigned c = a.channels_last ? rest + k : outer, s = a.channels_last ? outer : rest + k;
      const C factor = scale ? scale[n * a.channels + c] : C(1);
      if (kBackward) {
        store(to.values[k], load(from.values[k]) * curve.derivative(load(y.values[k])) * factor);
      } else {
        const C offset = (noise ? noise[(a.noise_per_sample ? n * a.pixels : 0) + s] : C(0)) + (bias ? bias[c] : C(0));
        store(to.values[k], curve(load(from.values[k]) * factor + offset));
      }
    }
    static_cast<Pack<T, kCount>*>(kBackward ? a.grad_x : a.y)[pack] = to;
  }
}

template <bool kBackward>
const char* launch(const BiasAct& a, void* stream) {
  if (a.channels * a.pixels >= int64_t(1) << 31) return "a sample of 2^31 values or more";
  return dispatch(a.dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const int64_t inner = a.channels_last ? a.channels : a.pixels, size = a.channels * a.pixels;
    const auto queue = static_cast<cudaStream_t>(stream);
    if (packs<T>(inner, kBackward ? a.grad : a.x, a.y, kBackward ? a.grad_x : a.y))
      pass<T, kPacked<T>, kBackward><<<grid(size / kPacked<T>, a.batch), kThreads, 0, queue>>>(a);
    else
      pass<T, 1, kBackward><<<grid(size, a.batch), kThreads, 0, queue>>>(a);
    return outcome();
  });
}

}  // namespace

extern "C" const char* bias_act(const BiasAct* a, void* stream) { return launch<false>(*a, stream); }

// Sums over pixels or channels are left to PyTorch.
extern "C" const char* bias_act_backward(const BiasAct* a, void* stream) { return launch<true>(*a, stream); }
