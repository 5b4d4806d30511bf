"""A few pictures of each class."""

import torch
from torch import Tensor

from poa_bench.errors import InputError


def drawn(labels: Tensor, seed: int, shots: int | None = None, share: float | None = None) -> Tensor:
    """Positions of a few pictures of each class, ascending.

    Args:
        labels: (N,).
        seed: of the draw.
        shots: so many of each class.
        share: or this part of each class, rounded, at least one picture.

    Raises:
        InputError: a class has fewer than `shots` pictures.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        count = shots or max(1, round(share * len(members)))
        if count > len(members):
            raise InputError(f"class {int(label)} has {len(members)} pictures in train, and {count} are to be drawn")
        chosen.append(members[torch.randperm(len(members), generator=generator)[:count]])
    return torch.cat(chosen).sort().values
