"""Multiply-accumulates of a network, attention included."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def count_macs(module: nn.Module, image_size: int | tuple[int, int], batch_size: int = 1) -> int:
    """Multiply-accumulates of all matrix products and convolutions of one forward pass.

    Fused attention hides its two products from every counter; here it is made to run as plain matrix products. Norms,
    softmax, activations and additions are not counted, as is usual.

    Args:
        module: runs on (B, 3, height, width); on the meta device nothing is computed.
        image_size: pixels, one side or (height, width).
        batch_size: images.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    tensor = next(module.parameters())
    return count_call_macs(module, torch.empty(batch_size, 3, height, width, device=tensor.device, dtype=tensor.dtype))


@torch.no_grad()
def count_call_macs(function, *inputs: torch.Tensor) -> int:
    """As `count_macs`, of any call."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function(*inputs)
    return counter.get_total_flops() // 2  # the counter takes a multiply-accumulate for two operations


def count_parameters(module: nn.Module) -> int:
    """Number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
