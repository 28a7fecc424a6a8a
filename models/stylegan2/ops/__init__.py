"""The operations StyleGAN2 is built from: bias with activation, convolution, resampling by a FIR filter.

bias_act and upfirdn2d have three forms: plain PyTorch, compiled C++ for the CPU, CUDA. `status` tells which is in use.
"""

from models.stylegan2.ops.bias_act import bias_act
from models.stylegan2.ops.compiled import status
from models.stylegan2.ops.conv2d import conv2d
from models.stylegan2.ops.upfirdn2d import (
    downsample2d,
    filter2d,
    setup_filter,
    upfirdn2d,
    upfirdn2d_bias_act,
    upsample2d,
)

__all__ = [
    "bias_act",
    "conv2d",
    "downsample2d",
    "filter2d",
    "setup_filter",
    "status",
    "upfirdn2d",
    "upfirdn2d_bias_act",
    "upsample2d",
]
