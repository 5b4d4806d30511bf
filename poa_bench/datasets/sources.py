"""Where pictures come from: arrays in memory (folders and archives follow).

A source knows its pictures' ``names``, ``labels`` and ``classes`` without opening one, and reads picture ``i`` alone.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


class ImageSource(Protocol):
    """Pictures that can be read one by one."""

    names: list[str]
    labels: np.ndarray  # (N,) int64
    classes: tuple[str, ...]

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""


@dataclass
class ArraySource:
    """Pictures of one size in memory: ``images`` (N, H, W, 3) uint8."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: list[str]

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        return torch.from_numpy(self.images[position]).permute(2, 0, 1)
