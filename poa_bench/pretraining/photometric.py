"""Colour jitter, greyscale, blur and solarisation of many crops at once, on any device.

The random numbers are drawn on the CPU, one row of parameters for each crop, and applied later, in the worker or on the
GPU: what a crop looks like depends on its own row alone. The single operations equal torchvision's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# columns of a row of parameters
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
_ORDER = slice(4, 8)  # the four numbers above in the order of their application
GREYSCALE, BLUR_SIGMA, SOLARISE = 8, 9, 10
_COLUMNS = 11
_LUMA = (0.2989, 0.587, 0.114)  # as torchvision
_BLUR_RADIUS = 4  # a kernel of 9 pixels
_SOLARISE_FROM = 128 / 255


@dataclass(frozen=True)
class Photometric:
    """Strengths and probabilities; the defaults are the paper's (table 6), which are DINOv2's.

    ``blur`` and ``solarise`` hold the probabilities for the first global, the second global and the local crops. The
    official code's blur helper applies the complement of what it is given, so it really trains with (0, 0.9, 0.5).

    Attributes:
        brightness, contrast, saturation: greatest relative change, a factor in [1 - x, 1 + x].
        hue: greatest turn of the hue, as a share of the circle.
        jitter: probability of the four together.
        greyscale: probability of losing the colours.
        blur: see above; Gaussian, 9 pixels wide, sigma drawn from ``blur_sigma`` pixels.
        solarise: see above; values from 128 of 255 on are inverted.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    jitter: float = 0.8
    greyscale: float = 0.2
    blur: tuple[float, float, float] = (1.0, 0.1, 0.5)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarise: tuple[float, float, float] = (0.0, 0.2, 0.0)

    def draw(self, views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the parameters of one crop per entry of ``views`` (0 first global, 1 second global, 2 local).

        Returns:
            (len(views), 11) float32.
        """
        count = len(views)
        rows = np.zeros((count, _COLUMNS), np.float32)
        rows[:, :HUE] = 1
        jittered = rng.random(count) < self.jitter
        strength = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        rows[:, : HUE + 1] += rng.uniform(-strength, strength, (count, 4)) * jittered[:, None]
        rows[:, _ORDER] = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
        rows[:, GREYSCALE] = rng.random(count) < self.greyscale
        blurred = rng.random(count) < np.asarray(self.blur)[views]
        rows[:, BLUR_SIGMA] = rng.uniform(*self.blur_sigma, count) * blurred
        rows[:, SOLARISE] = rng.random(count) < np.asarray(self.solarise)[views]
        return rows


def apply(images: Tensor, rows: Tensor) -> Tensor:
    """Change each image by its row of parameters.

    Args:
        images: (N, 3, H, W) uint8, or float in [0, 1].
        rows: (N, 11) float from :meth:`Photometric.draw`, on any device.

    Returns:
        (N, 3, H, W) float32 in [0, 1] on the images' device.
    """
    images = images / 255 if images.dtype == torch.uint8 else images.float()
    order = rows[:, _ORDER].cpu()  # the groups are chosen without asking the device
    active = rows[:, : HUE + 1].cpu() != torch.tensor([1.0, 1.0, 1.0, 0.0])
    rows = rows.to(images.device, non_blocking=True)
    for step in range(4):
        for column, change in enumerate((_brightness, _contrast, _saturation, _hue)):
            chosen = (order[:, step] == column) & active[:, column]
            images = _change(images, chosen, lambda x, f, c=column, g=change: g(x, f[:, c, None, None, None]), rows)
    rows_cpu = rows.cpu()
    images = _change(images, rows_cpu[:, GREYSCALE] > 0, lambda x, f: _grey(x).expand_as(x), rows)
    images = _change(images, rows_cpu[:, BLUR_SIGMA] > 0, lambda x, f: _blur(x, f[:, BLUR_SIGMA]), rows)
    return _change(images, rows_cpu[:, SOLARISE] > 0, lambda x, f: torch.where(x >= _SOLARISE_FROM, 1 - x, x), rows)


def _change(images: Tensor, chosen: Tensor, change, rows: Tensor) -> Tensor:
    """Replace the chosen images by ``change(images, rows)`` of them."""
    if chosen.all():
        return change(images, rows)
    if chosen.any():
        where = chosen.nonzero()[:, 0].to(images.device, non_blocking=True)
        images = images.index_copy(0, where, change(images[where], rows[where]))
    return images


def _grey(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(images).mean((1, 2, 3), keepdim=True), images, factor).clamp(0, 1)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(images).expand_as(images), images, factor).clamp(0, 1)


def _hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by ``turn`` circles: RGB to hue, saturation and value, and back."""
    value, lowest = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = value - lowest
    safe = chroma.clamp(min=1e-12)
    red, green, blue = images.split(1, dim=1)
    sextant = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    offsets = torch.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1)
    place = (sextant + 6 * turn + offsets) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with each image's own ``sigma`` (N,) in pixels; reflecting borders."""
    taps = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=images.device)
    weights = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True))[:, :, None, None, None]  # (N, 9, 1, 1, 1)
    for dim, padding in ((3, (_BLUR_RADIUS, _BLUR_RADIUS, 0, 0)), (2, (0, 0, _BLUR_RADIUS, _BLUR_RADIUS))):
        padded = F.pad(images, padding, mode="reflect")
        size = images.shape[dim]
        images = sum(weights[:, k] * padded.narrow(dim, k, size) for k in range(len(taps)))
    return images
