"""Deformable convolutions (arXiv 1703.06211, 1811.11168) of torchvision, by mmcv's names and arguments.

Groups follow from the shapes; buffers (`columns`, `ones`) are not needed and left as they are.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor

Pair = tuple[int, int]


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **geometry: int
) -> None:
    """The convolution of `input` (B, C, H, W) with `weight`, sampled at `offset`, into `output`."""
    output.copy_(torchvision.ops.deform_conv2d(input, offset, weight, **_plain(geometry)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Gradients of `deform_conv_forward` with respect to its input and offsets."""
    gradients = _gradients([input, weight, offset], grad_output, _plain(geometry))
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **geometry: int,
) -> None:
    """`scale` times the gradient of `deform_conv_forward` with respect to its weights."""
    weight = torch.zeros_like(grad_weight)  # the convolution is linear in them: their values do not matter
    grad_weight.copy_(scale * _gradients([input, weight, offset], grad_output, _plain(geometry))[1])


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """The same with every sample weighted by `mask`, and a bias if `with_bias`."""
    bias = bias if with_bias else None
    output.copy_(torchvision.ops.deform_conv2d(input, offset, weight, bias, mask=mask, **_modulated(geometry)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Gradients of `modulated_deform_conv_forward` with respect to all that it reads."""
    gradients = _gradients([input, weight, offset, mask], grad_output, _modulated(geometry))
    for into, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients, strict=True):
        into.copy_(gradient)
    if with_bias:
        grad_bias.copy_(grad_output.sum((0, 2, 3)))


def _gradients(inputs: Sequence[Tensor], grad_output: Tensor, geometry: dict[str, Pair]) -> tuple[Tensor, ...]:
    """Of input, weight, offset and, if it is given, mask: the convolution once more, with autograd."""
    with torch.enable_grad():
        image, weight, offset, *mask = leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = torchvision.ops.deform_conv2d(image, offset, weight, None, mask=mask[0] if mask else None, **geometry)
    return torch.autograd.grad(output, leaves, grad_output)


def _plain(given: dict[str, Any]) -> dict[str, Pair]:
    return {
        "stride": (given["dH"], given["dW"]),
        "padding": (given["padH"], given["padW"]),
        "dilation": (given["dilationH"], given["dilationW"]),
    }


def _modulated(given: dict[str, Any]) -> dict[str, Pair]:
    return {
        "stride": (given["stride_h"], given["stride_w"]),
        "padding": (given["pad_h"], given["pad_w"]),
        "dilation": (given["dilation_h"], given["dilation_w"]),
    }
