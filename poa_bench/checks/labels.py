"""Semantic maps and labelled pictures: values and labels in range, maps as large as their pictures."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from poa_bench.checks.pictures import Seen
from poa_bench.checks.result import CLASSES, FILES, READ, Checked, examples
from poa_bench.datasets.labels import readable
from poa_bench.datasets.stores import FolderStore

IGNORE = 255


def check_labels(row: Checked, labels: np.ndarray) -> None:
    """Labels (N,) of pictures are class numbers."""
    if ((labels < 0) | (labels >= row.classes)).any():
        span = f"labels go from {labels.min()} to {labels.max()}"
        row.fail(CLASSES, f"{span}, classes from 0 to {row.classes - 1}", "renumber them")
    row.passed(CLASSES)


def first_of_each(labels: np.ndarray) -> list[int]:
    """The first picture of each label (N,)."""
    return np.unique(labels, return_index=True)[1].tolist() if len(labels) else []


def check_files(row: Checked, paths: list[str | Path]) -> None:
    """The files are there."""
    if missing := [path for path in paths if not Path(path).is_file()]:
        example = readable(os.fsencode(missing[0]))
        row.fail(FILES, f"{len(missing)} of {len(paths)} files are missing, e.g. {example}", "complete the data set")
    row.passed(FILES)


def source_paths(source: Any, infos: list[dict]) -> list[Path]:
    """The files of a source that is a folder; none where it is an archive or in memory."""
    store = getattr(source, "store", None)
    if not isinstance(store, FolderStore):
        return []
    places = source.places[[info["position"] for info in infos]]  # names in `infos` are made for people
    return [Path(os.fsdecode(store.path_of(place))) for place in places]


def check_map(row: Checked, dataset: Any, info: dict, seen: Seen) -> None:
    """A label map has one number per pixel of its picture, each a class or 255; its classes count as seen."""
    name = info["seg_map_path"]
    if seen.map_shape is None:
        row.fail_picture(READ, name, "is not loaded by the pipeline", "add LoadAnnotations to it")
    elif len(seen.map_shape) != 2:
        channels = f"has {seen.map_shape[2]} channels"
        row.fail_picture(READ, name, channels, "store one class number per pixel")
    elif (size := seen.map_shape[::-1]) != seen.size:
        sizes = f"is {size[0]}x{size[1]}, its picture {seen.size[0]}x{seen.size[1]} as training loads it"
        row.fail_picture(READ, name, sizes, "make them the same size")
    else:
        _check_values(row, dataset, info, seen)
    row.passed(READ)


def _check_values(row: Checked, dataset: Any, info: dict, seen: Seen) -> None:
    shift = int(bool(getattr(dataset, "reduce_zero_label", False)))  # then 0 is not a class, and 1 is the first one
    known = {value for value in seen.map_values if value < row.classes}
    if wrong := [value + shift for value in seen.map_values if value not in known and value != IGNORE]:
        remedy = f"allowed are 0 to {row.classes - 1 + shift} and {IGNORE} (ignored)"
        if not shift and wrong == [row.classes]:
            remedy += "; if 0 means `other` there, set reduce_zero_label=True"
        row.fail_picture(CLASSES, info["seg_map_path"], f"has the values [{examples(wrong)}]", remedy)
    row.seen |= {value: info["img_path"] for value in known if value not in row.seen}
    row.passed(CLASSES)
