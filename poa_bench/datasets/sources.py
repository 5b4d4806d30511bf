"""Where pictures and their labels come from: arrays, folders, archives, ``.npz`` files of JPEGs.

A source knows its pictures' ``names``, ``labels`` and ``classes`` without opening one, and reads picture ``i`` alone.
"""

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image

from poa_bench.datasets.labels import check_unique, numbers_of, read_classes, readable
from poa_bench.datasets.lists import class_folders, read_list
from poa_bench.datasets.selection import BESIDE, IMAGE_SUFFIXES, LeftOut, described, select
from poa_bench.datasets.stores import ArchiveStore, FolderStore
from poa_bench.errors import InputError

NPZ_SPLITS = ("train", "test")


class ImageSource(Protocol):
    """Pictures that can be read one by one."""

    names: np.ndarray  # (N,) bytes
    labels: np.ndarray  # (N,) int64
    classes: tuple[str, ...]

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""


def decode(data: bytes | np.ndarray, name: str) -> torch.Tensor:
    """Decode a picture to RGB, (3, H, W) uint8, channels last in memory; orientation tags are not followed.

    Raises:
        InputError: neither OpenCV nor Pillow can decode it.
    """
    data = np.frombuffer(data, np.uint8)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
        if picture is not None:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        else:  # older builds of OpenCV know neither GIF nor AVIF
            picture = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    except Exception as error:  # a broken file makes decoders raise a dozen kinds, from cv2.error to struct.error
        problem = f"the picture {name} ({len(data)} bytes) cannot be decoded; replace or remove it"
        raise InputError(problem) from error
    return torch.from_numpy(picture).permute(2, 0, 1)


@dataclass
class ArraySource:
    """Pictures of one size in memory: ``images`` (N, H, W, 3) uint8."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: np.ndarray

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        return torch.from_numpy(self.images[position]).permute(2, 0, 1)


@dataclass
class EncodedSource:
    """Encoded pictures one after the other in memory: picture ``i`` is ``data[offsets[i] : offsets[i + 1]]``."""

    data: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray  # of this split's pictures among all
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self):
        self.names = np.char.mod(b"%d", self.positions)

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        place = self.positions[position]
        return decode(self.data[self.offsets[place] : self.offsets[place + 1]], self.names[position].decode())


@dataclass
class StoredSource:
    """Pictures of a folder or an archive: ``places`` are the numbers of the store's files that belong to it.

    ``left_out`` says which files below the class folders do not, and why (:mod:`poa_bench.datasets.selection`).
    ``folders`` are, where labels are the numbers of a list, the folder of each label's pictures; empty if a folder has
    several labels or a label several folders.
    """

    store: FolderStore | ArchiveStore
    places: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    left_out: LeftOut = field(default_factory=dict)
    folders: tuple[str, ...] | None = None

    @property
    def names(self) -> np.ndarray:
        return self.store.names[self.places]

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        place = self.places[position]
        return decode(self.store.read(place), readable(self.store.names[place]))


def open_images(
    path: str,
    folder: str = "",
    ann_file: str | None = None,
    split: str = "train",
    classes: Sequence[str] | str | None = None,
) -> ImageSource:
    """Open labelled pictures.

    Args:
        path: a folder, an uncompressed tar, a zip, or an ``.npz`` with the arrays ``data`` (JPEG bytes of all
            pictures), ``offsets`` (N + 1,), ``labels``, ``split`` (0 train, 1 test) and ``classes``.
        folder: only pictures below this folder of the folder or archive, e.g. ``train``.
        ann_file: text file with one ``path label`` in a line, the path relative to ``folder``, the label a number from
            0 (or a name in ``classes``); without it the first sub-folder in a picture's path is its class.
        split: 'train' or 'test' of an ``.npz``.
        classes: the names of the classes in the order of their numbers, or a text file with one name per line. By
            default class folders are numbered in alphabetical order, and numbers in a list are their own names.

    Raises:
        InputError: something is missing or does not fit; the message says what to do.
    """
    location = Path(path).expanduser()
    names = None if classes is None else read_classes(classes)
    if location.suffix == ".npz" and location.is_file():
        return _open_npz(location, split, names)
    location, prefix = locate(path, folder)
    if ann_file is not None:
        return _listed(location, prefix, Path(ann_file).expanduser(), names)
    return _in_class_folders(open_store(location, prefix), prefix, names)


def locate(path: str, folder: str) -> tuple[Path, bytes]:
    """The folder or archive at ``path``, and how names of files below ``folder`` of it begin.

    Raises:
        InputError: there is nothing at ``path``.
    """
    location = Path(path).expanduser()
    if not location.exists():
        raise InputError(f"there is no folder or archive {location}; give the path of the pictures you have")
    return location, os.fsencode(f"{folder.strip('/')}/") if folder.strip("/") else b""


def open_store(location: Path, prefix: bytes) -> FolderStore | ArchiveStore:
    """The files of a folder (only those below ``prefix``) or of an archive (all)."""
    return FolderStore(location, below=prefix) if location.is_dir() else ArchiveStore(location)


def _in_class_folders(
    store: FolderStore | ArchiveStore, prefix: bytes, classes: tuple[str, ...] | None
) -> StoredSource:
    """Take the pictures below ``prefix``; the next folder in their path is their class."""
    places, names, left_out = select(store, prefix)
    where = f"below {readable(prefix) or 'the top'}"
    if not names:
        # a flat folder may be unlabelled, or ImageNet's val, which is not one class
        beside = f", but {len(left_out[BESIDE])} beside each other" if BESIDE in left_out else ""
        others = {reason: names for reason, names in left_out.items() if reason != BESIDE}
        others = f" ({described(others)})" if others else ""
        raise InputError(
            f"there are no pictures in class folders {where}{beside}{others}; expected CLASS/PICTURE with one of the "
            f"endings {' '.join(IMAGE_SUFFIXES)}, or ann_file=LIST with `path label` in each line (for pre-training, "
            "which needs no labels: type='poa_bench.UnlabelledImages', sources=[dict(path=...)])"
        )
    if left_out:
        print_log(f"left out {where}: {described(left_out)}", logger="current", level=logging.WARNING)
    class_names = [name.split("/", 1)[0] for name in names]
    classes = classes or tuple(sorted(set(class_names)))
    labels = numbers_of(class_names, classes, f"the data {where}")
    return StoredSource(store, places, labels, classes, left_out)


def _listed(location: Path, prefix: bytes, ann_file: Path, classes: tuple[str, ...] | None) -> StoredSource:
    """Take the pictures and labels that an annotation file names. A folder is not searched for them: too slow."""
    paths, labels = read_list(ann_file, classes)
    names = np.array([prefix + path for path in paths])
    folders = class_folders(paths, labels) if classes is None else None
    classes = classes or tuple(map(str, range(labels.max() + 1)))
    if location.is_dir():
        return StoredSource(FolderStore(location, names), np.arange(len(names)), labels, classes, folders=folders)
    store = ArchiveStore(location)
    if len(missing := names[~np.isin(names, store.names)]):
        raise InputError(
            f"{len(missing)} of the {len(names)} pictures in {ann_file} are not in {location}, "
            f"e.g. {readable(missing[0])}; check `folder`"
        )
    return StoredSource(store, np.searchsorted(store.names, names), labels, classes, folders=folders)


def read_arrays(path: Path, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    """Arrays (N,) of an `.npz`, each of one of these kinds of numpy's (`i`, `u`, `f`, `U`, ...).

    Raises:
        InputError: it cannot be read, lacks one, or one has another kind or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in kinds if name in file}
            there = ", ".join(file)
    except Exception as error:  # as many kinds as there are ways to break a zip of arrays
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(f"{path} cannot be read as arrays of numpy ({reason}): make or copy it again") from error
    if missing := [name for name in kinds if name not in found]:
        raise InputError(f"{path} has no array {missing[0]!r} but {there}; it needs {', '.join(kinds)}")
    for name, array in found.items():
        if array.ndim != 1 or array.dtype.kind not in kinds[name]:
            raise InputError(f"array {name!r} of {path} is {array.dtype} of shape {array.shape}: it does not fit")
    return found


def _open_npz(path: Path, split: str, classes: tuple[str, ...] | None) -> EncodedSource:
    if split not in NPZ_SPLITS:
        raise InputError(f"unknown split {split!r} of {path}; use one of {', '.join(NPZ_SPLITS)}")
    data, offsets, labels, splits, names = read_arrays(path, {
        "data": "u", "offsets": "iu", "labels": "iu", "split": "iu", "classes": "US",
    }).values()  # fmt: skip
    if len(offsets) != len(labels) + 1 or len(splits) != len(labels):
        raise InputError(f"{path} has {len(labels)} labels, {len(splits)} splits and {len(offsets)} offsets (one more)")
    offsets = offsets.astype(np.int64)
    if (np.diff(offsets, prepend=0) < 0).any() or offsets[-1] > len(data):
        raise InputError(f"`offsets` of {path} must ascend and end within the {len(data)} bytes of `data`")
    names = tuple(readable(str(name)) for name in names)
    check_unique(names, f"`classes` of {path}")
    positions = np.flatnonzero(splits == NPZ_SPLITS.index(split))
    labels = labels[positions].astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise InputError(f"labels of {path} go from {labels.min()} to {labels.max()}, but it has {len(names)} classes")
    if classes is not None:
        labels = numbers_of(names, classes, str(path))[labels]
    return EncodedSource(data, offsets, positions, labels, classes or names)
