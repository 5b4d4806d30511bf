"""Pictures from a few of their patches: what is hidden, the decoder and the loss of MAE (arXiv 2111.06377)."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from poa_bench.errors import InputError
from poa_bench.pretraining.heads import leading_columns
from poa_bench.registry import MODELS


class Hidden(NamedTuple):
    """Which patches of B crops are hidden, of N each.

    Attributes:
        visible: (B, n) numbers of the others, in the order in which the encoder gets them.
        restore: (B, N) where each patch is in a row of the visible ones, then the hidden ones.
        hidden: (B, N) bool.
    """

    visible: Tensor
    restore: Tensor
    hidden: Tensor


def visible_count(patches: int, ratio: float) -> int:
    """How many of N patches are visible when a share ``ratio`` is hidden: ``floor(N * (1 - ratio))``."""
    return int(patches * (1 - ratio))


def hide(noise: Tensor, ratio: float) -> Hidden:
    """Hide the share ``ratio`` of the patches, those with the largest noise (B, N).

    Raises:
        InputError: nothing would be visible.
    """
    if not (count := visible_count(noise.shape[1], ratio)):
        raise InputError(f"model.mask_ratio is {ratio}: none of {noise.shape[1]} patches would be visible")
    order = noise.argsort(dim=1)
    restore = order.argsort(dim=1)
    return Hidden(order[:, :count], restore, restore >= count)


def to_patches(images: Tensor, size: int) -> Tensor:
    """Images (B, 3, H, W) as (B, N, size * size * 3): row by row, in each patch rows, columns, then channels."""
    patches = images.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, 3, rows, size, columns, size)
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def pixel_loss(found: Tensor, images: Tensor, hidden: Tensor, size: int, normalised: bool = True) -> Tensor:
    """Mean squared error over the pixels of the hidden patches, in float32 at least.

    Args:
        found: (B, N, size * size * 3).
        images: (B, 3, H, W), as the network gets them.
        hidden: (B, N) bool.
        size: of a patch in pixels.
        normalised: whether each patch is first brought to mean 0 and (unbiased) variance 1.
    """
    wanted = to_patches(images, size).to(torch.promote_types(found.dtype, torch.float32))
    if normalised:
        variance, mean = torch.var_mean(wanted, dim=-1, keepdim=True)
        wanted = (wanted - mean) / (variance + 1e-6).sqrt()
    errors = (found.to(wanted.dtype) - wanted).square().mean(dim=-1)
    return (errors * hidden).sum() / hidden.sum()


@MODELS.register_module()
class PixelDecoder(nn.Module):
    """A small transformer that finds the pixels of all patches from the visible ones' features.

    Only its first layer depends on the encoder's width: a narrower one uses the first columns, times ``alpha`` as in
    `ProjectionHead`.

    Args:
        in_features: W, the intact encoder's width.
        patch_size: in pixels.
        width: of the decoder.
        depth: its blocks.
        heads: of attention.
        mlp_ratio: of its blocks.
        alpha: False leaves the sliced columns unscaled.

    Raises:
        InputError: a width that is no multiple of 4 (sines and cosines of two directions) and of the heads.
    """

    def __init__(
        self,
        in_features: int,
        patch_size: int,
        width: int = 512,
        depth: int = 8,
        heads: int = 16,
        mlp_ratio: float = 4.0,
        alpha: bool = True,
    ):
        super().__init__()
        if width % 4 or width % heads:
            raise InputError(f"model.head.width is {width}: it must be a multiple of 4 and of its {heads} heads")
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.alpha = alpha
        self.embed = nn.Linear(in_features, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        arguments = dict(num_heads=heads, mlp_ratio=mlp_ratio, qkv_bias=True, norm_layer=norm)
        self.blocks = nn.Sequential(*(Block(width, **arguments) for _ in range(depth)))
        self.norm = norm(width)
        self.pixels = nn.Linear(width, 3 * patch_size**2)
        nn.init.normal_(self.mask_token, std=0.02)
        self.apply(_initialise)
        self._positions: dict[tuple, Tensor] = {}

    def forward(self, cls: Tensor, patches: Tensor, restore: Tensor, grid: tuple[int, int]) -> Tensor:
        """Pixels (B, N, 3 * patch_size ** 2) of all patches.

        Args:
            cls: (B, w) of the encoder.
            patches: (B, n, w) of the visible patches.
            restore: (B, N), see `Hidden`.
            grid: rows and columns, N in all.
        """
        tokens = torch.cat([cls[:, None], patches], dim=1)
        tokens = F.linear(tokens, leading_columns(self.embed, tokens.shape[-1], self.alpha), self.embed.bias)
        first, visible = tokens[:, :1], tokens[:, 1:]
        hidden = self.mask_token.to(tokens.dtype).expand(len(tokens), restore.shape[1] - visible.shape[1], -1)
        places = restore[..., None].expand(-1, -1, tokens.shape[-1])
        everything = torch.cat([visible, hidden], dim=1).gather(1, places) + self.positions(grid, tokens)
        decoded = self.blocks(torch.cat([first, everything], dim=1))
        return self.pixels(self.norm(decoded[:, 1:]))

    def positions(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """Fixed sines and cosines (N, width) of rows and columns; the class token has zeros."""
        key = (*grid, like.device, like.dtype)
        if key not in self._positions:
            table = build_sincos2d_pos_embed(list(grid), self.embed.out_features, device=like.device)
            self._positions[key] = table.to(like.dtype)
        return self._positions[key]

    def macs(self, patches: int, visible: int, width: float = 1.0) -> float:
        """Multiply-accumulates of one crop, at a share of the intact network's width."""
        tokens, dimension = 1 + patches, self.embed.out_features
        linear = sum(layer.weight.numel() for layer in self.blocks.modules() if isinstance(layer, nn.Linear))
        attention = 2 * tokens * dimension * len(self.blocks)
        embed = width * (1 + visible) * self.embed.weight.numel()
        return embed + tokens * (linear + attention) + patches * self.pixels.weight.numel()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
