"""The operations StyleGAN2 is built from: bias with activation, convolution, resampling by a FIR filter.

`bias_act` and `upfirdn2d` have three forms: plain PyTorch, compiled C++ for the CPU, CUDA; `styled_conv2d` has the
first two. `status` tells which is in use.
"""

from models.stylegan2.ops.bias_act import bias_act
from models.stylegan2.ops.compiled import status
from models.stylegan2.ops.conv2d import conv2d
from models.stylegan2.ops.derived import derived
from models.stylegan2.ops.mix_channels import mix_channels
from models.stylegan2.ops.styled_conv2d import conv2d_enlarged, conv3x3, styled_conv2d
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
    "conv2d_enlarged",
    "conv3x3",
    "derived",
    "downsample2d",
    "filter2d",
    "mix_channels",
    "setup_filter",
    "status",
    "styled_conv2d",
    "upfirdn2d",
    "upfirdn2d_bias_act",
    "upsample2d",
]
