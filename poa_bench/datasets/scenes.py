"""Scenes of several digits for detection, instance segmentation and semantic segmentation.

A scene is 128x128 pixels with 2 to 5 digits of 32 to 56 pixels that overlap little. The area of a digit
is the convex hull of its stroke. Files, made once in the cache:

    images/{train,val,dev}/000000.jpg        RGB
    instances_{train,val,dev}.json           COCO: boxes, masks as uncompressed run lengths, categories 1..10
    objects_{train,val,dev}.json             the same with the single category "digit"
    semantic/{train,val,dev}/000000.png      0 background, 1..10 the digits zero to nine, 255 (ignore) at their edge

Train scenes show scans of the classification set's train split, val scenes, of which scores are, those of its test
split. Dev scenes show those of its validation split: penalties and sizes are chosen by them.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from poa_bench.datasets import digits
from poa_bench.datasets.cache import build_once

SCENE_SIZE = 128
SCANS_OF = {"train": "train", "val": "test", "dev": "val"}
SCENES = {"train": 600, "val": 150, "dev": 100}
SEMANTIC_CLASSES = ("background", *digits.CLASSES)
SINGLE_CLASS = "digit"
IGNORE = 255
PALETTE = [  # of the ten digits, RGB
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (188, 189, 34), (23, 190, 207), (255, 215, 0),
]  # fmt: skip
_MOST_OVERLAP = 0.1  # share of a digit's area that another may cover


def scenes_folder() -> Path:
    """Return the folder of the scenes, made at the first call.

    Raises:
        InputError: the cache folder cannot be written.
    """
    return build_once(f"digits-v{digits.VERSION}/scenes-with-dev", _write_scenes)


def run_lengths(mask: np.ndarray) -> dict:
    """Encode ``mask`` (H, W) bool as COCO's uncompressed run lengths: column by column, zeros first."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()}


def draw_scene(source: digits.Scans, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list]:
    """Draw one scene.

    Returns:
        ``picture`` (128, 128, 3) uint8 RGB, ``semantic`` (128, 128) uint8, and a list of ``(label 0..9, mask)`` with
        ``mask`` (128, 128) bool of its visible area.
    """
    canvas = (SCENE_SIZE, SCENE_SIZE)
    picture = digits.add_clutter(digits.draw_background(canvas, rng), source, int(rng.integers(2, 6)), 40, rng)
    semantic = np.zeros(canvas, np.uint8)
    placed: list[tuple[int, np.ndarray]] = []
    for _ in range(int(rng.integers(2, 6))):
        position = int(rng.integers(len(source.labels)))
        ink = _place(source.strokes[position], [mask for _, mask in placed], rng)
        if ink is None:
            continue
        mask, edge = _hull(ink > 0.5), _hull(ink > 0.2)
        picture = digits.paint(picture, ink, rng.uniform(0.3, 0.6), rng)
        placed = [(label, earlier & ~mask) for label, earlier in placed]
        placed.append((int(source.labels[position]), mask))
        semantic[edge & ~mask] = IGNORE
        semantic[mask] = source.labels[position] + 1
    return digits.finish(picture, rng), semantic, placed


def _place(stroke: np.ndarray, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray | None:
    """Return the ink (128, 128) of a digit that hides little of the ``others``, or None where no place is found."""
    height = np.exp(rng.uniform(np.log(32), np.log(56)))
    for _ in range(10):
        center = rng.uniform(0.55 * height, SCENE_SIZE - 0.55 * height, 2)
        ink = digits.draw_stroke(stroke, (SCENE_SIZE, SCENE_SIZE), center, height, rng)
        mask = _hull(ink > 0.5)
        if all((mask & other).sum() <= _MOST_OVERLAP * min(mask.sum(), other.sum()) for other in others):
            return ink
    return None


def _hull(ink: np.ndarray) -> np.ndarray:
    """The convex hull of a stroke, (H, W) bool: an area that networks with patches of 8 pixels can show."""
    filled = np.zeros(ink.shape, np.uint8)
    points = np.argwhere(ink)[:, ::-1].astype(np.int32)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def _write_scenes(folder: Path) -> None:
    for index, (split, scans_of) in enumerate(SCANS_OF.items()):
        source = digits.scans(scans_of)
        for kind in ("images", "semantic"):
            (folder / kind / split).mkdir(parents=True)
        coco = {"images": [], "annotations": [], "categories": []}
        coco["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(digits.CLASSES)]
        for scene, rng in enumerate(np.random.default_rng([digits.VERSION, 100 + index]).spawn(SCENES[split])):
            picture, semantic, placed = draw_scene(source, rng)
            name = f"{scene:06d}"
            _write(folder / f"images/{split}/{name}.jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            _write(folder / f"semantic/{split}/{name}.png", semantic)
            coco["images"].append(
                {"id": scene + 1, "file_name": f"{name}.jpg", "height": SCENE_SIZE, "width": SCENE_SIZE}
            )
            for label, mask in placed:
                number = len(coco["annotations"]) + 1
                coco["annotations"].append(_annotation(number, scene + 1, label, mask))
        (folder / f"instances_{split}.json").write_text(json.dumps(coco))
        coco["categories"] = [{"id": 1, "name": SINGLE_CLASS}]
        for annotation in coco["annotations"]:
            annotation["category_id"] = 1
        (folder / f"objects_{split}.json").write_text(json.dumps(coco))


def _write(path: Path, picture: np.ndarray, how: Sequence[int] = ()) -> None:
    """`cv2.imwrite` says nothing where a disk is full; this raises OSError."""
    path.write_bytes(cv2.imencode(path.suffix, picture, how)[1].tobytes())


def _annotation(number: int, image: int, label: int, mask: np.ndarray) -> dict:
    """Return the COCO entry of one digit; its box [x, y, width, height] encloses its visible area."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return {
        "id": number,
        "image_id": image,
        "category_id": label + 1,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [x, y, width, height],
        "segmentation": run_lengths(mask),
    }
