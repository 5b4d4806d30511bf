"""Where pictures and their labels come from: arrays, folders, archives, ``.npz`` files of JPEGs.

A source knows its pictures' ``names``, ``labels`` and ``classes`` without opening one, and reads picture ``i`` alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from mmengine.logging import print_log

from poa_bench.datasets.labels import check_unique, numbers_of, read_classes, readable
from poa_bench.datasets.lists import read_list
from poa_bench.datasets.stores import ArchiveStore, FolderStore
from poa_bench.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
NPZ_SPLITS = ("train", "test")


class ImageSource(Protocol):
    """Pictures that can be read one by one."""

    origin: str  # where the names are names of files
    names: np.ndarray  # (N,) bytes
    labels: np.ndarray  # (N,) int64
    classes: tuple[str, ...]

    def content(self, position: int) -> bytes:
        """Return picture ``position`` as it is stored."""

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""


def decode(data: bytes | np.ndarray, name: str) -> torch.Tensor:
    """Decode a picture to RGB, (3, H, W) uint8, channels last in memory; orientation tags are not followed.

    Raises:
        InputError: OpenCV cannot decode it.
    """
    data = np.frombuffer(data, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    if picture is None:
        raise InputError(f"the picture {name} ({len(data)} bytes) cannot be decoded; replace or remove it")
    return torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)


@dataclass
class ArraySource:
    """Pictures of one size in memory: ``images`` (N, H, W, 3) uint8."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: np.ndarray
    origin: str = "memory"

    def content(self, position: int) -> bytes:
        """Return the values of picture ``position``."""
        return self.images[position].tobytes()

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
    origin: str

    def __post_init__(self):
        self.names = np.char.mod(b"%d", self.positions)

    def content(self, position: int) -> bytes:
        """Return picture ``position`` as it is stored."""
        place = self.positions[position]
        return self.data[self.offsets[place] : self.offsets[place + 1]].tobytes()

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        return decode(self.content(position), self.names[position].decode())


@dataclass
class StoredSource:
    """Pictures of a folder or an archive: ``places`` are the numbers of the store's files that belong to it."""

    store: FolderStore | ArchiveStore
    places: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def names(self) -> np.ndarray:
        return self.store.names[self.places]

    @property
    def origin(self) -> str:
        return self.store.origin

    def content(self, position: int) -> bytes:
        """Return picture ``position`` as it is stored."""
        return self.store.read(self.places[position])

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        return decode(self.content(position), readable(self.store.names[self.places[position]]))


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
        classes: the names of the classes in the order of their numbers, or a text file with one name a line. By
            default class folders are numbered in alphabetical order, and numbers in a list are their own names.

    Raises:
        InputError: something is missing or does not fit; the message says what to do.
    """
    location = Path(path).expanduser()
    names = None if classes is None else read_classes(classes)
    if location.suffix == ".npz" and location.is_file():
        return _open_npz(location, split, names)
    if not location.exists():
        raise InputError(f"there is no folder or archive {location}; give the path of the pictures you have")
    prefix = f"{folder.strip('/')}/".encode() if folder else b""
    if ann_file is not None:
        return _listed(location, prefix, Path(ann_file).expanduser(), names)
    return _in_class_folders(FolderStore(location) if location.is_dir() else ArchiveStore(location), prefix, names)


def _in_class_folders(
    store: FolderStore | ArchiveStore, prefix: bytes, classes: tuple[str, ...] | None
) -> StoredSource:
    """Take the pictures below ``prefix``; the next folder in their path is their class."""
    inside = np.flatnonzero(np.char.startswith(store.names, prefix)) if len(store.names) else np.array([], int)
    names = [readable(store.names[place][len(prefix) :]) for place in inside]
    pictures = [i for i, name in enumerate(names) if name.lower().endswith(IMAGE_SUFFIXES)]
    chosen = [i for i in pictures if "/" in names[i]]
    beside = len(pictures) - len(chosen)  # a flat folder may be unlabelled, or ImageNet's val, which is not one class
    if not chosen:
        raise InputError(
            f"there are no pictures in class folders below {prefix.decode() or 'the top'}"
            + (f", but {beside} beside each other" if beside else "")
            + f"; expected CLASS/PICTURE with one of the endings {' '.join(IMAGE_SUFFIXES)}, or ann_file=LIST with "
            "`path label` in each line (without labels: ls FOLDER | sed 's/$/ 0/' > LIST)"
        )
    if beside:
        print_log(f"{beside} pictures outside class folders are left out", logger="current", level=logging.WARNING)
    class_names = [names[i].split("/", 1)[0] for i in chosen]
    classes = classes or tuple(sorted(set(class_names)))
    labels = numbers_of(class_names, classes, "the data")
    return StoredSource(store, inside[chosen], labels, classes)


def _listed(location: Path, prefix: bytes, ann_file: Path, classes: tuple[str, ...] | None) -> StoredSource:
    """Take the pictures and labels that an annotation file names. A folder is not searched for them: too slow."""
    paths, labels = read_list(ann_file, classes)
    names = np.array([prefix + path for path in paths])
    classes = classes or tuple(map(str, range(labels.max() + 1)))
    if location.is_dir():
        return StoredSource(FolderStore(location, names), np.arange(len(names)), labels, classes)
    store = ArchiveStore(location)
    places = np.searchsorted(store.names, names).clip(max=len(store.names) - 1)
    if len(missing := names[store.names[places] != names]):
        raise InputError(
            f"{len(missing)} of the {len(names)} pictures in {ann_file} are not in {location}, "
            f"e.g. {readable(missing[0])}; check `folder`"
        )
    return StoredSource(store, places, labels, classes)


def _open_npz(path: Path, split: str, classes: tuple[str, ...] | None) -> EncodedSource:
    if split not in NPZ_SPLITS:
        raise InputError(f"unknown split {split!r} of {path}; use one of {', '.join(NPZ_SPLITS)}")
    with np.load(path, allow_pickle=False) as arrays:
        needed = ("data", "offsets", "labels", "split", "classes")
        if missing := [name for name in needed if name not in arrays]:
            raise InputError(
                f"{path} has no array {missing[0]!r} but {', '.join(arrays)}; it needs {', '.join(needed)}"
            )
        data, offsets, labels, splits, names = (arrays[name] for name in needed)
    names = tuple(readable(str(name)) for name in names)
    check_unique(names, f"`classes` of {path}")
    positions = np.flatnonzero(splits == NPZ_SPLITS.index(split))
    labels = labels[positions].astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise InputError(f"labels of {path} go from {labels.min()} to {labels.max()}, but it has {len(names)} classes")
    if classes is not None:
        labels = numbers_of(names, classes, str(path))[labels]
    return EncodedSource(data, offsets, positions, labels, classes or names, str(path.resolve()))
