"""Projection heads: class features and patches become rows on a sphere, compared with prototypes."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from poa_bench.errors import InputError
from poa_bench.registry import MODELS


class Prototypes(nn.Module):
    """K directions with a trainable length each: weight normalisation of a linear layer without bias.

    Parameters keep the names of the classic weight norm: ``weight_g`` (K, 1), starting at 1, and ``weight_v`` (K, d),
    whose length (0.577 at the start) decides how far a step of the optimiser turns a prototype.

    Args:
        dimension: d.
        count: K.
        std: of ``weight_v`` at the start, drawn from a normal distribution; None: as torch's linear layers start.
    """

    def __init__(self, dimension: int, count: int, std: float | None = None):
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(count, 1))
        self.weight_v = nn.Parameter(torch.empty(count, dimension))
        if std is None:
            nn.init.kaiming_uniform_(self.weight_v, a=math.sqrt(5))
        else:
            nn.init.trunc_normal_(self.weight_v, std=std)

    def forward(self) -> Tensor:
        """The prototypes (K, d) in float32: ``g * v / |v|``."""
        return self.weight_g.float() * F.normalize(self.weight_v.float(), dim=-1)


@MODELS.register_module()
class ProjectionHead(nn.Module):
    """Several heads side by side (MPH): each a three-layer MLP, L2 normalisation and its own prototypes.

    Only the first layer depends on the network's width: a sub-network of width w uses its first w columns times
    ``alpha = in_features / w``. One set serves class tokens and masked patches.

    Args:
        in_features: W, the intact network's width.
        prototypes: K of each head; the paper's are 8192, 16384, 32768, 65536.
        hidden_features: width of the MLPs.
        bottleneck_features: d, the dimension of the sphere.
        alpha: False leaves the sliced columns unscaled (ablation).
        prototype_std: standard deviation of the prototypes' entries at the start, before they are normalised; None is
            the official code's: torch's start of a linear layer.
    """

    def __init__(
        self,
        in_features: int,
        prototypes: int | Sequence[int] = (8192, 16384, 32768, 65536),
        hidden_features: int = 2048,
        bottleneck_features: int = 256,
        alpha: bool = True,
        prototype_std: float | None = None,
    ):
        super().__init__()
        prototypes = [prototypes] if isinstance(prototypes, int) else prototypes
        if not prototypes or min(prototypes) < 2:
            raise InputError(f"prototypes is {list(prototypes)}: give at least one head of at least 2 prototypes")
        self.in_features = in_features
        self.alpha = alpha
        self.count = len(prototypes)
        for index, count in enumerate(prototypes):
            layers = (
                nn.Linear(in_features, hidden_features),
                nn.GELU(),
                nn.Linear(hidden_features, hidden_features),
                nn.GELU(),
                nn.Linear(hidden_features, bottleneck_features),
            )
            self.add_module(f"mlp{index}", nn.Sequential(*layers))
            self.add_module(f"last_layer{index}", Prototypes(bottleneck_features, count, prototype_std))
        self.apply(_initialise)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Project features (R, w), w <= W, by every head: a list of float32 rows (R, d) of length 1."""
        return [F.normalize(self._mlp(index, features).float(), dim=-1) for index in range(self.count)]

    def prototypes(self) -> list[Tensor]:
        """The normalised prototypes (K, d) of every head; make them once per step."""
        return [self.get_submodule(f"last_layer{index}")() for index in range(self.count)]

    def macs(self, width: float = 1.0) -> float:
        """Multiply-accumulates of one row in the MLPs of all heads, at a share of the intact network's width."""
        first, second, third = (self.mlp0[index].weight.numel() for index in (0, 2, 4))
        return self.count * (first * width + second + third)

    def _mlp(self, index: int, features: Tensor) -> Tensor:
        mlp = self.get_submodule(f"mlp{index}")
        weight = leading_columns(mlp[0], features.shape[-1], self.alpha)
        return functional_call(mlp, {"0.weight": weight}, (features,))


def leading_columns(layer: nn.Linear, width: int, alpha: bool = True) -> Tensor:
    """The weight (out, width) by which a head's first layer reads a network of this width.

    With ``alpha`` it is multiplied by full width / width, as the paper does with the networks' own (eq. 2).
    """
    if width == layer.in_features:
        return layer.weight
    weight = layer.weight[:, :width]
    return weight * (layer.in_features / width) if alpha else weight


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
