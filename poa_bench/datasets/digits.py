"""The embedded data set: scikit-learn's real handwritten digits, drawn as small pictures in varied light and place.

``sklearn.datasets.load_digits`` holds 1797 scans of 8x8 pixels (Alpaydin and Kaynak, UCI Optical Recognition of
Handwritten Digits, CC BY 4.0). Every scan belongs to one split, so that no picture of the test split shows a scan seen
in training. A picture is a scan, enlarged smoothly and placed by a random affine map, light on dark or dark on light,
with random contrast on a random background: its pixels say little about its class. The scenes have fragments of other
digits as clutter.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from poa_bench.datasets.cache import build_once
from poa_bench.errors import InputError

VERSION = 5
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = {"train": 0.60, "val": 0.15, "test": 0.25}  # shares of the scans
VARIANTS = {"train": 4, "val": 3, "test": 3}  # pictures made of each scan
IMAGE_SIZE = 32
MAX_ANGLE = 15  # degrees
_STROKE_SIZE = 32  # side of the enlarged scan


@dataclass(frozen=True)
class Scans:
    """Enlarged scans of a split: ``strokes`` (N, 32, 32) uint8 ink, ``labels`` (N,) 0..9, ``ids`` (N,) 0..1796."""

    strokes: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def check_split(split: str) -> str:
    """Return ``split``, or raise InputError if there is no such split."""
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r} of the digits; use one of {', '.join(SPLITS)}")
    return split


@cache
def scans(split: str) -> Scans:
    """Return the scans of ``split`` (stratified by class, the same on every machine)."""
    from sklearn.datasets import load_digits  # seconds, and only needed until the pictures are cached

    check_split(split)
    digits = load_digits()
    order = np.random.default_rng(VERSION).permutation(len(digits.target))
    ids = []
    for label in range(len(CLASSES)):
        members = order[digits.target[order] == label]
        ends = np.round(np.cumsum(list(SPLITS.values())) * len(members)).astype(int)
        position = list(SPLITS).index(split)
        ids.append(members[ends[position - 1] if position else 0 : ends[position]])
    ids = np.sort(np.concatenate(ids))
    return Scans(np.stack([_enlarge(digits.images[i]) for i in ids]), digits.target[ids].astype(np.int64), ids)


def _enlarge(scan: np.ndarray) -> np.ndarray:
    """(8, 8) ink counts 0..16 -> (32, 32) uint8 with smooth, crisp strokes and an empty margin."""
    padded = np.pad(scan / 16, 2).astype(np.float32)
    smooth = cv2.resize(padded, (_STROKE_SIZE, _STROKE_SIZE), interpolation=cv2.INTER_CUBIC)
    return np.round(255 / (1 + np.exp(-12 * (smooth - 0.45)))).astype(np.uint8)


def draw_stroke(
    stroke: np.ndarray, canvas: tuple[int, int], center: tuple[float, float], height: float, rng: np.random.Generator
) -> np.ndarray:
    """Place a scan on an empty canvas by a random affine map.

    Args:
        stroke: (32, 32), see :class:`Scans`.
        canvas: (height, width) of the result in pixels.
        center: (x, y) of the digit's centre in pixels.
        height: height of the digit in pixels.
        rng: source of rotation (at most MAX_ANGLE), shear and aspect.

    Returns:
        Ink of each pixel, (height, width) float32 in [0, 1].
    """
    scale = height / (_STROKE_SIZE * 8 / 12)  # the scan is 8 of the 12 padded rows
    angle, shear = np.deg2rad(rng.uniform(-MAX_ANGLE, MAX_ANGLE)), rng.uniform(-0.2, 0.2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = scale * rotation @ np.array([[np.exp(rng.uniform(-0.15, 0.15)), shear], [0, 1]])
    shift = np.asarray(center) - matrix @ np.full(2, (_STROKE_SIZE - 1) / 2)
    placed = cv2.warpAffine(stroke, np.column_stack([matrix, shift]), canvas[::-1], flags=cv2.INTER_CUBIC)
    return placed.astype(np.float32) / 255


def draw_background(canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a background of one colour in slightly uneven light, (height, width, 3) float32 in [0, 1]."""
    corners = rng.uniform(0.05, 0.6) + rng.uniform(-0.15, 0.15, 3) + rng.uniform(-0.05, 0.05, (2, 2, 1))
    return cv2.resize(corners.clip(0, 1).astype(np.float32), canvas[::-1], interpolation=cv2.INTER_LINEAR)


def paint(picture: np.ndarray, ink: np.ndarray, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """Blend a random colour into ``picture`` (H, W, 3) where ``ink`` (H, W) is, lighter by ``contrast`` on average."""
    colour = picture.mean() + contrast + rng.uniform(-0.3, 0.3, 3)
    return picture + ink[..., None] * (colour.clip(0, 1).astype(np.float32) - picture)


def add_clutter(picture: np.ndarray, source: Scans, count: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Paint ``count`` fragments of other digits: a random window, a third of its side wide, of a random scan."""
    side = _STROKE_SIZE // 3
    for _ in range(count):
        top, left = rng.integers(4, _STROKE_SIZE - side - 4, 2)
        window = np.s_[top : top + side, left : left + side]
        fragment = np.zeros((_STROKE_SIZE, _STROKE_SIZE), np.uint8)
        fragment[window] = source.strokes[rng.integers(len(source.strokes))][window]
        center = rng.uniform(0, 1, 2) * picture.shape[1::-1]
        ink = draw_stroke(fragment, picture.shape[:2], center, height, rng)
        picture = paint(picture, ink, rng.uniform(0.1, 0.4), rng)
    return picture


def finish(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add sensor noise and round to uint8."""
    noisy = picture + rng.normal(0, rng.uniform(0.01, 0.05), picture.shape)
    return np.round(noisy.clip(0, 1) * 255).astype(np.uint8)


def _draw_picture(position: int, source: Scans, rng: np.random.Generator) -> np.ndarray:
    """Return one picture of scan ``position``, (32, 32, 3) uint8."""
    canvas = (IMAGE_SIZE, IMAGE_SIZE)
    picture = draw_background(canvas, rng)
    height = rng.uniform(20, 28)
    reach = (IMAGE_SIZE - height) / 4  # half of the room there is
    center = (IMAGE_SIZE - 1) / 2 + rng.uniform(-reach, reach, 2)
    ink = draw_stroke(source.strokes[position], canvas, center, height, rng)
    return finish(paint(picture, ink, rng.uniform(0.25, 0.45), rng), rng)


def _write_classification(folder: Path) -> None:
    for index, split in enumerate(SPLITS):
        source = scans(split)
        positions = np.repeat(np.arange(len(source.ids)), VARIANTS[split])
        rngs = np.random.default_rng([VERSION, index]).spawn(len(positions))
        images = np.stack([_draw_picture(p, source, rng) for p, rng in zip(positions, rngs, strict=True)])
        np.savez(folder / f"{split}.npz", images=images, labels=source.labels[positions], scans=source.ids[positions])


@cache
def _load(split: str) -> dict[str, np.ndarray]:
    folder = build_once(f"digits-v{VERSION}/classification", _write_classification)
    with np.load(folder / f"{check_split(split)}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def classification_arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``images`` (N, 32, 32, 3) uint8 RGB and ``labels`` (N,) int64 of ``split`` ('train', 'val' or 'test').

    Raises:
        InputError: unknown split.
    """
    arrays = _load(check_split(split))
    return arrays["images"], arrays["labels"]
