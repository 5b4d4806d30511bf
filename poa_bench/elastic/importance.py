"""Order what a trained ViT consists of by importance, so that slices keep what counts (weight subcloning, 2312.09299).

Channels, attention heads and neurons are put into another order, most active first. The network computes the same, but
for the order of its features; its slices do not.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from poa_bench.errors import InputError

# axes of a parameter and what runs along them: c channels, q queries, keys and values, h heads' outputs, n neurons
_AXES = {
    r"patch_embed\.proj\.(weight|bias)": {0: "c"},
    r"(cls_token|reg_token|pos_embed)": {-1: "c"},
    r"(norm|norm_pre|fc_norm|blocks\.\d+\.norm[12])\.(weight|bias)": {0: "c"},
    r"blocks\.\d+\.ls[12]\.gamma": {0: "c"},
    r"blocks\.\d+\.attn\.qkv\.weight": {0: "q", 1: "c"},
    r"blocks\.\d+\.attn\.qkv\.bias": {0: "q"},
    r"blocks\.\d+\.attn\.proj\.weight": {0: "c", 1: "h"},
    r"blocks\.\d+\.mlp\.fc1\.weight": {0: "n", 1: "c"},
    r"blocks\.\d+\.mlp\.fc1\.bias": {0: "n"},
    r"blocks\.\d+\.mlp\.fc2\.weight": {0: "c", 1: "n"},
    r"blocks\.\d+\.(attn\.proj|mlp\.fc2)\.bias": {0: "c"},
}


@dataclass
class Importance:
    """Mean absolute activations over images and tokens.

    Attributes:
        channels: (w,) of the stream of features, added up over the blocks.
        heads: of each block (h,), of the heads' outputs.
        neurons: of each block (m,), of the feed-forward layer after its activation.
    """

    channels: Tensor
    heads: list[Tensor]
    neurons: list[Tensor]


@torch.no_grad()
def importance(network: VisionTransformer, batches: Iterable[Tensor]) -> Importance:
    """Measure it on batches of images (B, 3, H, W), as the network gets them.

    Raises:
        InputError: another class of network, or no images.
    """
    if type(network) is not VisionTransformer:
        raise InputError(f"only ViTs can be put in order of importance, not a {type(network).__name__}")
    sums: dict[str, Tensor] = {}
    hooks = []
    for index, block in enumerate(network.blocks):
        for name, module in (
            ("channels", block.norm1),
            (f"heads{index}", block.attn.proj),
            (f"n{index}", block.mlp.fc2),
        ):
            hooks.append(module.register_forward_pre_hook(_adder(sums, name)))
    seen = 0
    try:
        for images in batches:
            network(images)
            seen += len(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise InputError("importance is measured on images, and there are none")
    depth, heads = len(network.blocks), network.blocks[0].attn.num_heads
    return Importance(
        sums["channels"],
        [sums[f"heads{index}"].unflatten(0, (heads, -1)).mean(dim=1) for index in range(depth)],
        [sums[f"n{index}"] for index in range(depth)],
    )


def put_in_order(network: VisionTransformer, found: Importance) -> None:
    """Most important first, in place: class and patch features are the same numbers in the order of the channels.

    Raises:
        InputError: the network has parameters of which it is not known what runs along their axes.
    """
    channels = found.channels.argsort(descending=True)
    new = {}
    for name, parameter in network.named_parameters():
        axes = next((axes for pattern, axes in _AXES.items() if re.fullmatch(pattern, name)), None)
        if axes is None:
            raise InputError(f"networks with a parameter {name!r} cannot be put in order of importance")
        block = re.match(r"blocks\.(\d+)\.", name)
        tensor = parameter.detach()
        for axis, kind in axes.items():
            order = channels if kind == "c" else _order(found, int(block[1]), kind, tensor.shape[axis])
            tensor = tensor.index_select(axis, order)
        new[name] = tensor
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(new[name])


def _order(found: Importance, block: int, kind: str, length: int) -> Tensor:
    """Which entry comes where along an axis of a block's parameter."""
    if kind == "n":
        return found.neurons[block].argsort(descending=True)
    heads = found.heads[block].argsort(descending=True)
    parts = 3 if kind == "q" else 1  # queries, keys, values
    entries = torch.arange(length).view(parts, len(heads), -1)
    return entries[:, heads].flatten()


def _adder(sums: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sums[name] = sums.get(name, 0) + inputs[0].abs().double().mean(dim=1).sum(dim=0)  # tokens, then images

    return add
