// What Python passes to the kernels: its ctypes structures mirror these field by field. No PyTorch header is needed.
#pragma once
#include <cstdint>

enum Dtype : int64_t { kFloat32, kBFloat16, kFloat64, kFloat16 };

// Images are dense: (batch, pixels, channels) where channels_last, else (batch, channels, pixels).
// Everything but the images is float32, or float64 beside float64 images.
struct BiasAct {
  const void* x;      // forward: input; backward: input, or null where no gradient of the scale is wanted
  void* y;            // forward: output, which may be x; backward: that output
  const void* scale;  // (batch, channels) or null
  const void* noise;  // (batch or 1, pixels) or null
  const void* bias;   // (channels) or null
  const void* grad;   // backward: gradient of y
  void* grad_x;       // backward: gradient of x
  void* grad_scale;   // backward: (batch, chunks, channels), summed over each chunk of the pixels, or null
  void* grad_noise;   // backward: (batch, pixels) or null
  void* grad_bias;    // backward: as grad_scale
  int64_t dtype, batch, channels, pixels, channels_last, noise_per_sample, chunks;
  double slope, gain, limit;  // of the negative side; behind the activation; of the result, infinite for none
};

// Images are dense: (planes, height, width, depth), so depth is C where channels are last, else 1 with B·C planes.
struct Upfirdn2d {
  const void* x;
  void* y;
  const void* kernel;  // (kernel_height, kernel_width), float32, or float64 beside float64 images
  int64_t dtype, planes, depth, height, width, out_height, out_width, kernel_height, kernel_width;
  int64_t up_x, up_y, down_x, down_y, before_x, before_y;  // `before`: padding in front, negative crops
  int64_t mirrored;  // convolution; else correlation
  double gain;
  const BiasAct* then;  // applied to the result, x and y aside; or null
};

// 3x3 convolutions: stride 1 with padding 1; transposed with stride 2, then a FIR filter that leaves twice the input's
// side; stride 2 without padding.
enum Convolution : int64_t { kSame, kUp, kDown };

// Images have their channels last and are float32 or bfloat16; everything else is float32.
struct Winograd {
  const void* x;            // (batch, height, width, inputs)
  const void* weight;       // packed
  void* y;                  // (batch, out_height, out_width, outputs)
  const float* modulation;  // (batch, inputs), in front of the convolution, or null
  const float* scale;       // (batch, outputs), behind it, or null
  const float* noise;       // (batch or 1, out_height, out_width) or null
  const float* bias;        // (outputs) or null
  const float* taps;        // kUp: 4, of the filter along an axis
  const void* other;        // not kUp: images of y's shape, beside `sums`
  float* sums;              // not kUp: (batch, outputs), sum over the pixels of convolution · other, or null
  int64_t dtype, kind, batch, height, width, inputs, out_height, out_width, outputs, noise_per_sample, threads;
  double slope, gain, limit;
};

struct WinogradWeight {
  const float* weight;  // (outputs, inputs, 3, 3), adjoint (inputs, outputs, 3, 3)
  void* packed;         // null: only `size` is wanted
  int64_t dtype, kind, outputs, inputs, threads;
  int64_t adjoint;  // mirrors both axes of the kernel
  double scale;     // factor of the weight
  int64_t size;     // out: numbers that `packed` holds; 0 where this processor has no kernel for the dtype
};

// Of clamp(gain · lrelu(u)), u = x · scale + noise + bias; channels last.
struct WinogradGradient {
  const void* grad;  // gradient of y
  const void* y;
  void* grad_x;
  const float* scale;
  const float* noise;
  const float* bias;
  float* sums;  // (batch, chunks, channels), zeros: becomes the sum over a chunk's pixels of dy/du · x · scale
  int64_t dtype, batch, pixels, channels, noise_per_sample, chunks, threads;
  double slope, gain, limit;
};
