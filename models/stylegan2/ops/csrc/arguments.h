// What Python passes to the kernels; `compiled.py` mirrors both structs field by field. No PyTorch header is needed.
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
