"""Colour jitter, greyscale, blur and solarisation of crops.

The random numbers are drawn on the CPU, one row of parameters for each crop, and applied afterwards: to single crops in
the worker (OpenCV, bytes) or to the whole batch on the GPU (torch). The operations are torchvision's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# the 11 columns of a row of parameters
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
NEUTRAL = (1.0, 1.0, 1.0, 0.0)  # values of these four that change nothing
_ORDER = slice(4, 8)  # the four numbers above in the order of their application
GREYSCALE, BLUR_SIGMA, SOLARISE = 8, 9, 10
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

    def draw(self, view: int, random: Random) -> list[float]:
        """Draw the 11 parameters of a crop; ``view`` is 0 (first global), 1 (second global) or 2 (local)."""
        factors = [1.0, 1.0, 1.0, 0.0]
        if random.random() < self.jitter:
            strengths = (self.brightness, self.contrast, self.saturation, self.hue)
            factors = [f + random.uniform(-s, s) for f, s in zip(factors, strengths, strict=True)]
        order = [BRIGHTNESS, CONTRAST, SATURATION, HUE]
        random.shuffle(order)
        greyscale = random.random() < self.greyscale
        sigma = random.uniform(*self.blur_sigma) if random.random() < self.blur[view] else 0.0
        return [*factors, *order, greyscale, sigma, random.random() < self.solarise[view]]


def change_bytes(crop: np.ndarray, row: list[float]) -> np.ndarray:
    """Change one crop (H, W, 3) uint8 by its row of parameters; the result has the same form."""
    for column in row[_ORDER]:
        if row[column] != NEUTRAL[column]:
            crop = _BYTE_CHANGES[column](crop, row[column])
    if row[GREYSCALE]:
        crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if row[BLUR_SIGMA]:
        crop = cv2.GaussianBlur(crop, (2 * _BLUR_RADIUS + 1,) * 2, row[BLUR_SIGMA], borderType=cv2.BORDER_REFLECT_101)
    return cv2.LUT(crop, _SOLARISED) if row[SOLARISE] else crop


_LEVELS = np.arange(256, dtype=np.float32)
_KEEP, _TO_GREY = np.eye(3), np.tile(_LUMA, (3, 1))
_SOLARISED = np.where(_LEVELS >= 128, 255 - _LEVELS, _LEVELS).astype(np.uint8)


def _scale_bytes(crop: np.ndarray, factor: float, towards: float = 0) -> np.ndarray:
    levels = np.rint(factor * _LEVELS + (1 - factor) * towards).clip(0, 255).astype(np.uint8)
    return cv2.LUT(crop, levels)


def _contrast_bytes(crop: np.ndarray, factor: float) -> np.ndarray:
    return _scale_bytes(crop, factor, cv2.mean(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))[0])


def _saturate_bytes(crop: np.ndarray, factor: float) -> np.ndarray:
    return cv2.transform(crop, factor * _KEEP + (1 - factor) * _TO_GREY)


def _turn_hue_bytes(crop: np.ndarray, turn: float) -> np.ndarray:
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(math.floor(turn * 256) % 256)  # wraps
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


_BYTE_CHANGES = (_scale_bytes, _contrast_bytes, _saturate_bytes, _turn_hue_bytes)


def change_batch(images: Tensor, rows: Tensor) -> Tensor:
    """Change each image by its row of parameters.

    Args:
        images: (N, 3, H, W) uint8, or float in [0, 1].
        rows: (N, 11) float from :meth:`Photometric.draw`, on the CPU, or it is waited for.

    Returns:
        (N, 3, H, W) float32 in [0, 1] on the images' device.
    """
    images = images / 255 if images.dtype == torch.uint8 else images.float()
    plan = rows.cpu()
    rows = rows.to(images.device, non_blocking=True)[..., None, None, None]  # (N, 11, 1, 1, 1)
    active = plan[:, : len(NEUTRAL)] != torch.tensor(NEUTRAL)
    for step in range(len(NEUTRAL)):
        for column, change in enumerate((_brightness, _contrast, _saturation, _hue)):
            chosen = (plan[:, _ORDER][:, step] == column) & active[:, column]
            images = _change(images, chosen, change, rows[:, column])
    images = _change(images, plan[:, GREYSCALE] > 0, lambda x, _: _grey(x).expand_as(x), rows[:, GREYSCALE])
    images = _change(images, plan[:, BLUR_SIGMA] > 0, _blur, rows[:, BLUR_SIGMA])
    return _change(images, plan[:, SOLARISE] > 0, _solarise, rows[:, SOLARISE])


def _change(images: Tensor, chosen: Tensor, change: Callable, values: Tensor) -> Tensor:
    """Replace the chosen images by ``change(images, values)`` of them."""
    if chosen.all():
        return change(images, values)
    if chosen.any():
        where = chosen.nonzero()[:, 0].to(images.device, non_blocking=True)
        images = images.index_copy(0, where, change(images[where], values[where]))
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
    offsets = torch.arange(5, 0, -2, device=images.device).view(1, 3, 1, 1)
    place = (sextant + 6 * turn + offsets) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


def _solarise(images: Tensor, _: Tensor) -> Tensor:
    return torch.where(images >= _SOLARISE_FROM, 1 - images, images)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with each image's own ``sigma`` (N, 1, 1, 1) in pixels; reflecting borders."""
    taps = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=images.device)
    weights = torch.exp(-0.5 * (taps / sigma) ** 2)  # (N, 1, 1, 9)
    weights = weights / weights.sum(-1, keepdim=True)
    for dim, padding in ((3, (_BLUR_RADIUS, _BLUR_RADIUS, 0, 0)), (2, (0, 0, _BLUR_RADIUS, _BLUR_RADIUS))):
        padded = F.pad(images, padding, mode="reflect")
        size = images.shape[dim]
        images = sum(weights[..., k : k + 1] * padded.narrow(dim, k, size) for k in range(len(taps)))
    return images
