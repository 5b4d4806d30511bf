"""Where pictures and their labels come from: arrays, folders, archives, ``.npz`` files of JPEGs.

A source knows its pictures' ``names``, ``labels`` and ``classes`` without opening one, and reads picture ``i`` alone.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from mmengine.logging import print_log

from poa_bench.datasets.stores import ArchiveStore, FolderStore
from poa_bench.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
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
    """Pictures of a folder or an archive: ``places`` are the numbers of the store's files that belong to it."""

    store: FolderStore | ArchiveStore
    places: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def names(self) -> np.ndarray:
        return self.store.names[self.places]

    def read(self, position: int) -> torch.Tensor:
        """Return picture ``position`` as RGB, (3, H, W) uint8, channels last in memory."""
        place = self.places[position]
        return decode(self.store.read(place), self.store.names[place].decode())


def open_images(path: str, folder: str = "", ann_file: str | None = None, split: str = "train") -> ImageSource:
    """Open labelled pictures.

    Args:
        path: a folder, an uncompressed tar, a zip, or an ``.npz`` with the arrays ``data`` (JPEG bytes of all
            pictures), ``offsets`` (N + 1,), ``labels``, ``split`` (0 train, 1 test) and ``classes``.
        folder: only pictures below this folder of the folder or archive, e.g. ``train``.
        ann_file: text file with one ``path label`` in a line, the path relative to ``folder``, the label a number from
            0; without it the first sub-folder in a picture's path is its class, numbered in alphabetical order.
        split: 'train' or 'test' of an ``.npz``.

    Raises:
        InputError: something is missing or does not fit; the message says what to do.
    """
    location = Path(path).expanduser()
    if location.suffix == ".npz" and location.is_file():
        return _open_npz(location, split)
    if not location.exists():
        raise InputError(f"there is no folder or archive {location}; give the path of the pictures you have")
    prefix = f"{folder.strip('/')}/".encode() if folder else b""
    if ann_file is not None:
        return _listed(location, prefix, Path(ann_file).expanduser())
    return _in_class_folders(FolderStore(location) if location.is_dir() else ArchiveStore(location), prefix)


def _in_class_folders(store: FolderStore | ArchiveStore, prefix: bytes) -> StoredSource:
    """Take the pictures below ``prefix``; the next folder in their path is their class."""
    inside = np.flatnonzero(np.char.startswith(store.names, prefix)) if len(store.names) else np.array([], int)
    names = [store.names[place].decode()[len(prefix) :] for place in inside]
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
    classes = sorted(set(class_names))
    numbers = {name: number for number, name in enumerate(classes)}
    return StoredSource(store, inside[chosen], np.array([numbers[name] for name in class_names]), tuple(classes))


def _listed(location: Path, prefix: bytes, ann_file: Path) -> StoredSource:
    """Take the pictures and labels that an annotation file names. A folder is not searched for them: too slow."""
    names, labels = _read_list(ann_file, prefix)
    classes = tuple(str(number) for number in range(labels.max() + 1))
    if location.is_dir():
        return StoredSource(FolderStore(location, names), np.arange(len(names)), labels, classes)
    store = ArchiveStore(location)
    places = np.searchsorted(store.names, names).clip(max=len(store.names) - 1)
    if len(missing := names[store.names[places] != names]):
        raise InputError(
            f"{len(missing)} of the {len(names)} pictures in {ann_file} are not in {location}, "
            f"e.g. {missing[0].decode()}; check `folder`"
        )
    return StoredSource(store, places, labels, classes)


def _read_list(ann_file: Path, prefix: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return the names, ``prefix`` before each, and the labels of a list with ``path label`` in each line."""
    if not ann_file.is_file():
        raise InputError(f"there is no annotation file {ann_file}; give one with a `path label` in each line")
    names, labels = [], []
    for number, line in enumerate(ann_file.read_text().splitlines(), 1):
        name, _, label = line.strip().rpartition(" ")
        if name and label.isdecimal():
            names.append(prefix + name.encode())
            labels.append(int(label))
        elif line.strip():
            raise InputError(f"line {number} of {ann_file} is {line!r}; expected `path label` with a number from 0")
    if not names:
        raise InputError(f"the annotation file {ann_file} names no picture; expected a `path label` in each line")
    return np.array(names), np.array(labels)


def _open_npz(path: Path, split: str) -> EncodedSource:
    if split not in NPZ_SPLITS:
        raise InputError(f"unknown split {split!r} of {path}; use one of {', '.join(NPZ_SPLITS)}")
    with np.load(path, allow_pickle=False) as arrays:
        needed = ("data", "offsets", "labels", "split", "classes")
        if missing := [name for name in needed if name not in arrays]:
            raise InputError(
                f"{path} has no array {missing[0]!r} but {', '.join(arrays)}; it needs {', '.join(needed)}"
            )
        data, offsets, labels, splits, classes = (arrays[name] for name in needed)
    positions = np.flatnonzero(splits == NPZ_SPLITS.index(split))
    return EncodedSource(data, offsets, positions, labels[positions].astype(np.int64), tuple(map(str, classes)))
