// Resampling by a FIR filter on CUDA devices. Taps that would meet an inserted zero are never touched.
#include "cuda.cuh"

namespace {

// Thread (x, y) takes one pack of plane y. Within a plane 32-bit indices do, and divide fast.
template <class T, int kCount, bool kThen>
__global__ void resample(Upfirdn2d a, BiasAct then) {
  using C = Compute<T>;
  const unsigned at = (blockIdx.x * blockDim.x + threadIdx.x) * kCount;
  const unsigned depth = unsigned(a.depth), width = unsigned(a.out_width);
  if (at >= depth * width * unsigned(a.out_height)) return;
  const unsigned d = at % depth, pixel = at / depth;
  const int x = int(pixel % width), y = int(pixel / width);
  const Taps across(x, int(a.up_x), int(a.down_x), int(a.before_x), int(a.kernel_width));
  const Taps down(y, int(a.up_y), int(a.down_y), int(a.before_y), int(a.kernel_height));
  const auto* kernel = static_cast<const C*>(a.kernel);
  const int last = int(a.kernel_height * a.kernel_width) - 1;
  for (int64_t plane = blockIdx.y; plane < a.planes; plane += gridDim.y) {
    C sum[kCount] = {};
    for (int i = 0; i < down.count; ++i) {
      const int line = down.pixel + i;
      if (line < 0 || line >= a.height) continue;
      for (int j = 0; j < across.count; ++j) {
        const int column = across.pixel + j;
        if (column < 0 || column >= a.width) continue;
        const int tap = (down.first + i * int(a.up_y)) * int(a.kernel_width) + across.first + j * int(a.up_x);
        const C weight = kernel[a.mirrored ? last - tap : tap];
        const int64_t from = ((plane * a.height + line) * a.width + column) * a.depth + d;
        const Pack<T, kCount> values = static_cast<const Pack<T, kCount>*>(a.x)[from / kCount];
        for (int k = 0; k < kCount; ++k) sum[k] += weight * load(values.values[k]);
      }
    }
    Pack<T, kCount> to;
    for (int k = 0; k < kCount; ++k) {
      C value = sum[k] * C(a.gain);
      if (kThen) {
        // a plane is a sample where channels come last, else a channel of one
        const int64_t n = then.channels_last ? plane : plane / then.channels;
        const int64_t c = then.channels_last ? d + k : plane % then.channels;
        const int64_t s = (then.noise_per_sample ? n * then.pixels : 0) + pixel;
        if (then.scale) value *= static_cast<const C*>(then.scale)[n * then.channels + c];
        if (then.noise) value += static_cast<const C*>(then.noise)[s];
        if (then.bias) value += static_cast<const C*>(then.bias)[c];
        value = curve_of<T>(then)(value);
      }
      store(to.values[k], value);
    }
    const int64_t first = plane * a.out_height * a.out_width * a.depth;
    static_cast<Pack<T, kCount>*>(a.y)[(first + at) / kCount] = to;
  }
}

template <class T, bool kThen>
const char* launch(const Upfirdn2d& a, cudaStream_t stream) {
  const int64_t size = a.out_height * a.out_width * a.depth;
  const BiasAct then = kThen ? *a.then : BiasAct{};
  if (packs<T>(a.depth, a.x, a.y))
    resample<T, kPacked<T>, kThen><<<grid(size / kPacked<T>, a.planes), kThreads, 0, stream>>>(a, then);
  else
    resample<T, 1, kThen><<<grid(size, a.planes), kThreads, 0, stream>>>(a, then);
  return outcome();
}

}  // namespace

extern "C" const char* upfirdn2d(const Upfirdn2d* a, void* stream) {
  if (a->out_height * a->out_width * a->depth >= int64_t(1) << 31) return "a sample of 2^31 values or more";
  return dispatch(a->dtype, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto queue = static_cast<cudaStream_t>(stream);
    return a->then ? launch<T, true>(*a, queue) : launch<T, false>(*a, queue);
  });
}
