"""What the students are asked to predict: one probability per prototype, never stored for all rows at once.

Every target of POA has one form, ``softmax(features @ prototypes.T / temperature + bias)`` over the prototypes:

- Sinkhorn-Knopp (the official code's): its scaling of the prototypes is the bias, its scaling of the rows is the
  softmax's own normalisation;
- centering (DINO): the bias is ``-center / temperature``;
- the intact student as a target for the elastic one (paper, eq. 7): no bias.

So a target is kept as the small matrices it is made of, and its rows are computed where they are used.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from mmengine import dist
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """Probabilities over K prototypes for V views of B samples, made on demand.

    Attributes:
        features: (V, B, d) L2-normalised head outputs, without gradient.
        prototypes: (K, d) weight-normalised prototypes, without gradient.
        temperature: divides the logits.
        bias: (K,) added to the divided logits, or None.
    """

    features: Tensor
    prototypes: Tensor
    temperature: float
    bias: Tensor | None = None

    def probabilities(self, samples: slice = slice(None)) -> Tensor:
        """Probabilities (V, b, K) in float32 of the samples in the slice."""
        return biased_softmax(self.features[:, samples], self.prototypes, self.temperature, self.bias)


def biased_softmax(features: Tensor, prototypes: Tensor, temperature: float, bias: Tensor | None) -> Tensor:
    """``softmax(features (..., d) @ prototypes (K, d).T / temperature + bias (K,))``: (..., K)."""
    logits = matmul(features, prototypes.T).div_(temperature)
    if bias is not None:
        logits.add_(bias)
    return logits.softmax(dim=-1)


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """(..., n) @ (n, m) as one product: torch repeats ``right`` for each leading index where rows are not adjacent."""
    return (left.flatten(0, -2) @ right).unflatten(0, left.shape[:-1])


@torch.no_grad()
def sinkhorn_bias(
    features: Tensor, prototypes: Tensor, temperature: float, iterations: int = 3, chunk_elements: int = 1 << 22
) -> Tensor:
    """The bias that makes the softmax a Sinkhorn-Knopp assignment over the rows of all ranks (SwAV, DINOv2).

    An iteration divides each prototype's column by its sum, then each row by its sum. With ``p`` the row-normalised
    matrix, the first half is ``bias -= log(p.sum(rows))`` and the second is softmax; the very first one starts from the
    exponentials themselves. Only column sums travel between ranks, and only ``chunk_elements`` logits exist at a time.

    Args:
        features: (R, d) L2-normalised teacher head outputs; R may differ between ranks and be 0.
        prototypes: (K, d).
        temperature: of the teacher; the official code puts it inside the exponential (paper, eq. 5, outside).
        iterations: 0 gives a zero bias.

    Returns:
        (K,) float32, the same on all ranks.
    """
    bias = torch.zeros_like(prototypes[:, 0])
    tiny = torch.finfo(bias.dtype).tiny
    for iteration in range(iterations):
        if iteration == 0:
            bias = -_log_column_sums(features, prototypes, temperature, chunk_elements)
            continue
        mass = torch.zeros_like(bias)
        for rows in chunks(len(features), len(prototypes), chunk_elements):
            mass += biased_softmax(features[rows], prototypes, temperature, bias).sum(dim=0)
        dist.all_reduce(mass)
        bias = bias - mass.clamp_min(tiny).log()  # a prototype that no row chooses must not become infinite
    return bias


def _log_column_sums(features: Tensor, prototypes: Tensor, temperature: float, chunk_elements: int) -> Tensor:
    """``log(exp(logits).sum(rows of all ranks))``: (K,); zeros if there is no row at all."""
    total = prototypes.new_full((len(prototypes),), -torch.inf)
    for rows in chunks(len(features), len(prototypes), chunk_elements):
        logits = (features[rows] @ prototypes.T).div_(temperature)
        total = torch.logaddexp(total, logits.logsumexp(dim=0))
    largest = total.clone()
    dist.all_reduce(largest, "max")
    largest = largest.nan_to_num(neginf=0.0)
    sums = (total - largest).exp()
    dist.all_reduce(sums)
    return torch.where(sums > 0, sums.log() + largest, 0.0)


@torch.no_grad()
def mean_logits(features: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the rows of all ranks of ``features (R, d) @ prototypes (K, d).T``: (K,), for the center (DINO).

    The second value is the number of rows; without any, the mean is 0.
    """
    sums = torch.cat([features.sum(dim=0), features.new_full((1,), len(features))])
    dist.all_reduce(sums)
    return prototypes @ (sums[:-1] / sums[-1].clamp_min(1)), sums[-1]


def chunks(rows: int, columns: int, elements: int) -> Iterator[slice]:
    """Slices of the rows, so that one slice times the columns has at most ``elements`` entries (at least one row)."""
    step = max(1, elements // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
