"""Modulation, 3x3 convolution, demodulation, noise, bias and activation in one pass over the pixels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from models.stylegan2.ops import compiled, winograd
from models.stylegan2.ops.bias_act import Curve, bias_act
from models.stylegan2.ops.conv2d import conv2d
from models.stylegan2.ops.upfirdn2d import upfirdn2d, upfirdn2d_bias_act
from models.stylegan2.ops.winograd import Convolution


class _Operands(NamedTuple):
    """The tensors of a layer; shapes as in `styled_conv2d`."""

    x: Tensor
    modulation: Tensor
    demodulation: Tensor
    weight: Tensor
    noise: Tensor | None
    bias: Tensor | None
    blur: Tensor | None


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    modulation: Tensor,
    demodulation: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    weight_scale: float = 1.0,
    blur: Tensor | None = None,
    alpha: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
    form: compiled.Form | None = None,
) -> Tensor:
    """clamp(gain · lrelu(demodulation · ((weight_scale · weight) ∗ (modulation · x)) + noise + bias)): a layer of
    StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020).

    The compiled form (`ops.winograd`) needs 4 (float32) or 2.25 times (bfloat16) fewer products, 1.65 times fewer with
    enlargement, at relative errors of 2e-6 and 5e-3. It is used for weights that are not being trained and caches their
    transforms: 4 (float32) or 0.9 (bfloat16) times their size, 5.4 and 2.7 times with enlargement, and as much again
    for gradients. Everything else takes the plain form.

    Args:
        x: (B, I, H, W).
        weight: (1, O, I, 3, 3).
        modulation, demodulation: (B, I), (B, O).
        noise: (B or 1, 1, H', W'), times its strength already.
        bias: (O,).
        blur: FIR filter (4, 4), gain included, by which the result is enlarged to twice the side; None keeps the side.
        alpha: slope of the negative side.
        form: "reference" for plain PyTorch, "compiled" for the compiled kernels; None as the environment variable
            SDFLOW_OPS says, by default compiled where they can be built.
    Returns:
        (B, O, H', W'), in the dtype of autocast where that is on; differentiable any number of times.
    Raises:
        ValueError: a weight, modulation, demodulation, noise or bias that does not fit.
        RuntimeError: the form "compiled" is asked for, but could not be built.
    """
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    operands = _Operands(x, modulation, demodulation, weight, noise, bias, blur)
    curve = Curve(alpha, gain, math.inf if clamp is None else clamp)
    _check_shapes(operands)
    if (
        alpha >= 0  # the gradient reads the side of the activation off the sign of the result
        and gain > 0
        and not (torch.is_grad_enabled() and any(other is not None and other.requires_grad for other in operands[4:]))
        and winograd.serves(x, x.dtype, weight, blur, form)
    ):
        y: Tensor = _StyledConv2d.apply(*operands, weight_scale, curve)
        return y
    return _plain(operands, weight_scale, curve, form)


def conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """weight ∗ x with padding 1: x (B, I, H, W), weight (O, I, 3, 3) -> (B, O, H, W).

    Without gradients it uses the compiled form of `styled_conv2d`, if there is one.
    """
    low = x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    dtype = torch.get_autocast_dtype("cpu") if low else x.dtype
    if torch.is_grad_enabled() or not winograd.serves(x, dtype, weight):
        return F.conv2d(x, weight, padding=1)
    packed = winograd.packed_weight(weight, 1.0, dtype, Convolution.SAME)
    return winograd.convolve(Convolution.SAME, x.to(dtype), packed, len(weight))


def _check_shapes(operands: _Operands) -> None:
    x, modulation, demodulation, weight, noise, bias, blur = operands
    batch, inputs, height, width = x.shape
    outputs = weight.shape[1]
    enlargement = 1 if blur is None else 2
    fit = {
        "weight": weight.ndim == 5 and weight.shape[0] == 1 and weight.shape[2] == inputs,
        "modulation": modulation.shape == (batch, inputs),
        "demodulation": demodulation.shape == (batch, outputs),
        "noise": noise is None
        or (len(noise) in (1, batch) and noise.shape[1:] == (1, enlargement * height, enlargement * width)),
        "bias": bias is None or bias.shape == (outputs,),
    }
    for name, fits in fit.items():
        if not fits:
            raise ValueError(f"the {name} does not fit images of shape {tuple(x.shape)} and {outputs} outputs")


def conv2d_enlarged(x: Tensor, weight: Tensor, blur: Tensor, form: compiled.Form | None = None) -> Tensor:
    """Convolution of the image enlarged to twice its side: x (B, I, H, W), weight (O, I, k, k) -> (B, O, 2 H, 2 W).

    Args:
        blur: FIR filter that interpolates between the pixels, gain included.
        form: as in `styled_conv2d`.
    """
    x, padding = _transposed(x, weight, blur)
    return upfirdn2d(x, blur, padding=padding, form=form)


def _transposed(x: Tensor, weight: Tensor, blur: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
    """The transposed convolution, and the padding with which the filter makes twice the side of it."""
    spare = blur.shape[-1] - weight.shape[-1]
    before, after = (spare + 2) // 2, (spare + 1) // 2
    return conv2d(x, weight.transpose(0, 1), stride=2, transposed=True), (before, after, before, after)


def _plain(operands: _Operands, weight_scale: float, curve: Curve, form: compiled.Form | None = None) -> Tensor:
    """Plain PyTorch."""
    x, modulation, demodulation, weight, noise, bias, blur = operands
    kernel = (weight[0] * weight_scale).to(x.dtype)
    x = x * modulation.to(x.dtype)[:, :, None, None]
    rest: dict[str, Any] = {
        "bias": bias,
        "activation": "lrelu",
        "alpha": curve.slope,
        "gain": curve.gain,
        "clamp": curve.limit if math.isfinite(curve.limit) else None,
        "noise": noise,
        "scale": demodulation,
        "form": form,
    }
    if blur is None:
        return bias_act(conv2d(x, kernel, padding=kernel.shape[-1] // 2), inplace=True, **rest)
    x, padding = _transposed(x, kernel, blur)
    return upfirdn2d_bias_act(x, blur, padding, **rest)


class _StyledConv2d(Function):
    """The compiled form, of a weight, noise, bias and filter that are not being trained."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """arguments: the tensors of `_Operands` one by one, as autograd takes them, `weight_scale` and the curve."""
        *tensors, weight_scale, curve = arguments
        operands = _Operands(*tensors)
        kind = Convolution.SAME if operands.blur is None else Convolution.UP
        y = winograd.convolve(
            kind,
            operands.x,
            winograd.packed_weight(operands.weight, weight_scale, operands.x.dtype, kind),
            operands.weight.shape[1],
            operands.modulation,
            operands.demodulation,
            operands.noise,
            operands.bias,
            operands.blur,
            curve,
        )
        ctx.save_for_backward(*operands, y)
        ctx.weight_scale, ctx.curve = weight_scale, curve
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, y = ctx.saved_tensors
        operands = _Operands(*tensors)
        x, modulation, demodulation, weight, noise, bias, blur = operands
        none_for_the_rest = (None,) * 6
        if torch.is_grad_enabled():  # the gradient will be differentiated again
            wanted = [tensor for tensor in operands[:3] if tensor is not None and tensor.requires_grad]
            result = _plain(operands, ctx.weight_scale, ctx.curve, "reference")
            gradients = iter(torch.autograd.grad(result, wanted, grad, create_graph=True))
            return (*(next(gradients) if need else None for need in ctx.needs_input_grad[:3]), *none_for_the_rest)
        to_convolution, to_demodulation = winograd.curve_backward(grad, y, demodulation, noise, bias, ctx.curve)
        if blur is not None:
            to_convolution = upfirdn2d(to_convolution, blur.flip((0, 1)), padding=2)
        kind = Convolution.SAME if blur is None else Convolution.DOWN
        packed = winograd.packed_weight(weight, ctx.weight_scale, x.dtype, kind, adjoint=True)
        to_modulation = torch.empty_like(modulation, dtype=torch.float32, memory_format=torch.contiguous_format)
        to_x = winograd.convolve(
            kind, to_convolution, packed, weight.shape[2], scale=modulation, other=x, sums=to_modulation
        )
        return (
            to_x,
            to_modulation.to(modulation.dtype),
            (to_demodulation / demodulation.float()).to(demodulation.dtype),
            *none_for_the_rest,
        )
