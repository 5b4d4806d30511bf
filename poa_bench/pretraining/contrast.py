"""Contrast between pictures: projector, predictor and loss of MoCo v3 (arXiv 2104.02057)."""

import torch
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor, nn

from poa_bench.pretraining.heads import leading_columns
from poa_bench.registry import MODELS


class BatchNormMLP(nn.Sequential):
    """Linear layers without bias, each followed by batch norm and ReLU; the last has no ReLU.

    A narrower network uses the first columns of the first layer, times ``alpha`` as in `ProjectionHead`.

    Args:
        lengths: of input, hidden layers and output.
        affine: whether the last norm has weight and bias.
        alpha: False leaves the columns unscaled.
    """

    def __init__(self, lengths: tuple[int, ...], affine: bool = False, alpha: bool = True):
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip(lengths[:-1], lengths[1:], strict=True), 1):
            last = number == len(lengths) - 1
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after, affine=affine or not last)]
            layers += [] if last else [nn.ReLU()]
        super().__init__(*layers)
        self.alpha = alpha

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, w) of any width up to the first of ``lengths`` to (B, last of ``lengths``)."""
        weight = leading_columns(self[0], features.shape[-1], self.alpha)
        hidden = F.linear(features, weight)
        for layer in list(self)[1:]:
            hidden = layer(hidden)
        return hidden

    def macs(self, width: float = 1.0) -> float:
        """Multiply-accumulates of one row, at a share of the intact network's width."""
        first, *others = (layer.weight.numel() for layer in self if isinstance(layer, nn.Linear))
        return width * first + sum(others)


@MODELS.register_module()
class ContrastHead(nn.Module):
    """Projector and predictor of MoCo v3; its momentum encoder has the projector alone.

    Args:
        in_features: W, the intact network's width.
        hidden_features: of both.
        out_features: d, of keys and queries.
        alpha: False leaves the sliced columns unscaled.
    """

    def __init__(self, in_features: int, hidden_features: int = 4096, out_features: int = 256, alpha: bool = True):
        super().__init__()
        hidden = (hidden_features, hidden_features)
        self.projector = BatchNormMLP((in_features, *hidden, out_features), alpha=alpha)
        self.predictor = BatchNormMLP((out_features, hidden_features, out_features))

    def forward(self, features: Tensor) -> Tensor:
        """Queries (B, d) of the class features (B, w) of one view."""
        return self.predictor(self.projector(features))

    def macs(self, width: float = 1.0) -> float:
        """Multiply-accumulates of one row, at a share of the intact network's width."""
        return self.projector.macs(width) + self.predictor.macs()


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE times ``2 * temperature``: each query finds the key of its picture among those of all processes (eq. 1).

    Args:
        queries: (B, d) of one view; normalised here.
        keys: (B, d) of the other view, without gradient; normalised here.
        temperature: tau.

    Returns:
        A scalar, at least in float32.
    """
    precision = torch.promote_types(queries.dtype, torch.float32)
    queries, keys = (F.normalize(one.to(precision), dim=1) for one in (queries, keys))
    own = torch.arange(len(queries), device=queries.device) + len(queries) * dist.get_rank()
    logits = queries @ torch.cat(dist.all_gather(keys)).T / temperature
    return 2 * temperature * F.cross_entropy(logits, own)
