"""Small pictures for galleries: what was found, drawn over a test picture by torchvision and Pillow."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.sparse.linalg import svds
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as transforms
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks, make_grid

from poa_bench.errors import InputError
from poa_bench.runs.galleries import PICTURE_BYTES, Picture

SIDE = 144  # pixels of the longer side of a drawn picture
TILE = 46  # side of a picture among several in one
FRAME = 3  # pixels around it
COLUMNS = 3  # of several pictures in one
QUALITIES = (80, 60, 40, 20)  # of WebP: the first that is small enough
OPACITY = 0.6  # of masks and label maps
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)  # blue and vermilion, which the colour-blind tell apart (Okabe and Ito)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Objects:
    """Objects of one picture, in the pixels of the picture as it is stored.

    Attributes:
        boxes: left, top, right, bottom, (N, 4).
        labels: class numbers, (N,) int64.
        masks: (N, H, W) bool; None where there are only boxes.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None


def encoded(picture: Tensor) -> bytes:
    """A picture (3, H, W) uint8 as a WebP file of at most `PICTURE_BYTES`.

    Raises:
        InputError: it is larger even at the lowest quality.
    """
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy())
    for quality in QUALITIES:
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=quality)
        if stream.tell() <= PICTURE_BYTES:
            return stream.getvalue()
    raise InputError(f"a picture of {image.width} x {image.height} px has {stream.tell()} bytes: make it smaller")


def fitted(picture: Tensor, side: int = SIDE) -> Tensor:
    """A picture (3, H, W) uint8 with `side` pixels on its longer side."""
    height, width = picture.shape[1:]
    return transforms.resize(picture.cpu(), _size(height, width, side), antialias=True)


def _size(height: int, width: int, side: int = SIDE) -> list[int]:
    return [max(1, round(side * length / max(height, width))) for length in (height, width)]


def shrunk(map_: Tensor) -> Tensor:
    """A map (H, W) with no more numbers than are drawn, each one of its own."""
    if max(map_.shape) <= SIDE:
        return map_
    return F.interpolate(map_[None, None].float(), _size(*map_.shape), mode="nearest")[0, 0].to(map_.dtype)


def palette(classes: int, given: Sequence[Sequence[int]] | None = None) -> list[Colour]:
    """A colour for each class: the data set's own, where it has one for each, else hues that lie far apart."""
    if given is not None and not isinstance(given, str) and len(given) >= classes:
        return [tuple(map(int, colour)) for colour in given[:classes]]
    golden = (5**0.5 - 1) / 2  # steps by it spread over a circle however many there are
    hues = [colorsys.hsv_to_rgb((number * golden) % 1, 0.85, 0.95 - 0.3 * (number % 2)) for number in range(classes)]
    return [tuple(round(255 * part) for part in hue) for hue in hues]


def legend(numbers: Sequence[int], names: Sequence[str], colours: Sequence[Colour], most: int = 16) -> dict[str, str]:
    """The colours of some classes by their names, in the order of the classes."""
    shown = sorted({int(number) for number in numbers if 0 <= number < len(names)})[:most]
    return {str(names[number])[:60]: hexadecimal(colours[number]) for number in shown}


def hexadecimal(colour: Colour) -> str:
    """As in `#0072b2`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def with_objects(picture: Tensor, objects: Objects, colours: Sequence[Colour]) -> Tensor:
    """Boxes, and masks below them, in the colours of their classes.

    Args:
        picture: as it is stored, (3, H, W) uint8.
        objects: of it; the last one is drawn on top.
        colours: of each class.

    Returns:
        As `fitted`.
    """
    drawn, count = fitted(picture), len(objects.labels)
    if not count:
        return drawn
    size, chosen = drawn.shape[1:], [colours[number] for number in objects.labels.tolist()]
    if objects.masks is not None:
        masks = F.interpolate(objects.masks[None].float().cpu(), tuple(size), mode="area")[0] >= 0.5
        drawn = draw_segmentation_masks(drawn, masks, OPACITY, chosen)
    height, width = picture.shape[1:]
    factors = torch.tensor([size[1] / width, size[0] / height] * 2)
    boxes = objects.boxes.float().cpu() * factors
    limits = torch.tensor([size[1] - 1, size[0] - 1] * 2)
    return draw_bounding_boxes(drawn, torch.minimum(boxes.clamp(min=0), limits), colors=chosen, width=1)


def with_label_map(picture: Tensor, labels: Tensor, colours: Sequence[Colour]) -> Tensor:
    """Classes of pixels in their colours, over the picture; other numbers, which are of no class, show it as it is.

    Args:
        picture: (3, H, W) uint8.
        labels: class numbers, (H', W') int64.
        colours: of each class.

    Returns:
        As `fitted`.
    """
    drawn = fitted(picture)
    small = F.interpolate(labels[None, None].float().cpu(), tuple(drawn.shape[1:]), mode="nearest")[0, 0].long()
    shown = [number for number in small.unique().tolist() if 0 <= number < len(colours)]
    if not shown:
        return drawn
    masks = torch.stack([small == number for number in shown])
    return draw_segmentation_masks(drawn, masks, OPACITY, [colours[number] for number in shown])


def framed(pictures: Sequence[Tensor], colours: Sequence[Colour]) -> Tensor:
    """Pictures (3, H, W) uint8 of any sizes in one, row by row, each in a frame of its colour."""
    tiles = []
    for picture, colour in zip(pictures, colours, strict=True):
        small = transforms.resize(picture.cpu(), [TILE, TILE], antialias=True)
        frame = torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).expand(3, TILE + 2 * FRAME, TILE + 2 * FRAME)
        frame = frame.clone()
        frame[:, FRAME:-FRAME, FRAME:-FRAME] = small
        tiles.append(frame)
    return make_grid(tiles, nrow=COLUMNS, padding=1, pad_value=255)


def depth_colours(depths: Tensor, low: float, high: float) -> Tensor:
    """Depths (H, W) as colours, near ones dark blue and far ones yellow, what is not known (0) grey; as `fitted`."""
    import cv2

    share = (depths.double().cpu().clamp(low, high) - low) / max(high - low, 1e-9)
    grey = (255 * share).round().to(torch.uint8).numpy()
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    colours[(depths <= 0).cpu().numpy()] = 128
    return fitted(torch.from_numpy(colours).permute(2, 0, 1))


def component_colours(maps: Sequence[Tensor]) -> list[Tensor]:
    """The first three principal components of the patches of some pictures as red, green and blue (DINOv2's figures).

    One analysis for all of them: equal colours mean similar patches, also of different pictures. Each component is
    scaled from its least to its largest value, and has the sign for which its weight of largest magnitude is positive.

    Args:
        maps: patch features of each picture, (h, w, D).

    Returns:
        (3, h, w) uint8 each; grey where all patches are equal.
    """
    rows = torch.cat([map_.flatten(0, 1) for map_ in maps]).double().cpu().numpy()
    scores = principal_components(rows)
    low, span = scores.min(0), np.ptp(scores, axis=0)
    shares = np.where(span > 1e-12, (scores - low) / np.where(span > 1e-12, span, 1), 0.5)
    colours = torch.from_numpy(np.round(255 * shares).astype(np.uint8))
    sizes = [map_.shape[0] * map_.shape[1] for map_ in maps]
    parts = colours.split(sizes)
    return [part.view(*map_.shape[:2], 3).permute(2, 0, 1) for part, map_ in zip(parts, maps, strict=True)]


def principal_components(rows: np.ndarray, count: int = 3) -> np.ndarray:
    """Scores of rows (N, D) float64 on their first principal components, (N, count); those that are not there are 0."""
    centred = rows - rows.mean(0)
    found = np.zeros((len(rows), count))
    known = min(count, min(centred.shape) - 1)
    if known < 1 or not centred.any():
        return found
    _, values, axes = svds(centred, known, v0=np.ones(min(centred.shape)))
    axes = axes[np.argsort(-values)]
    largest = np.abs(axes).argmax(1)
    axes = axes * np.sign(axes[np.arange(known), largest])[:, None]
    found[:, :known] = centred @ axes.T
    return found


def enlarged(colours: Tensor, stride: int, picture: Tensor) -> Tensor:
    """Colours of patches (3, h, w) as squares on the picture (3, H, W) that they are of; as `fitted`."""
    height, width = picture.shape[1:]
    squares = colours.repeat_interleave(stride, 1).repeat_interleave(stride, 2)[:, :height, :width]
    size = fitted(picture).shape[1:]
    return transforms.resize(squares, list(size), transforms.InterpolationMode.NEAREST)


def drawn(picture: Tensor, caption: str = "", colours: Mapping[str, str] | None = None) -> Picture:
    """A picture (3, H, W) uint8 for a gallery."""
    return Picture(data=encoded(picture), caption=caption[:500], legend=dict(colours or {}))


LABEL_MAPS_NAMED = (
    "Label maps",
    "annotation",
    "Classes of pixels as colours over the picture; what the annotation leaves open shows the picture itself.",
)
DEPTH_MAPS_NAMED = (
    "Depth maps",
    "measured depth",
    "Near is dark blue, far yellow, not measured grey; the scale of each test picture is that of its measured depths.",
)


def label_maps_drawn(
    picture: Tensor, truth: Tensor, found: Tensor, names: Sequence[str], given: Any = None
) -> tuple[Picture, Picture]:
    """Two label maps (H', W') int64 of a picture (3, H, W) in the same colours."""
    colours = palette(len(names), given)
    maps = (
        drawn(with_label_map(picture, map_, colours), "", legend(map_.unique().tolist(), names, colours))
        for map_ in (truth, found)
    )
    return tuple(maps)


def depth_maps_drawn(picture: Tensor, truth: Tensor, found: Tensor) -> tuple[Picture, Picture]:
    """Two depth maps (H', W') on one scale."""
    known = truth[truth > 0]
    low, high = (known.min().item(), known.max().item()) if len(known) else (0.0, 1.0)
    return (
        drawn(depth_colours(truth, low, high), f"{low:.3g} to {high:.3g}"),
        drawn(depth_colours(found, low, high)),
    )
