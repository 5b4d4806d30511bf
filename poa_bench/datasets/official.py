"""Labelled pictures as the official archives of well-known sets have them, unpacked, their own lists beside them.

Aircraft, Pets, Food-101, DTD, SUN397 and Caltech-101 need no reader of their own: a list that is read by a pattern, or
class folders. Each of the others has its own format.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from poa_bench.datasets.classification import ImageDataset
from poa_bench.datasets.labels import check_unique, numbers_of, read_classes, readable
from poa_bench.datasets.sources import ArraySource, StoredSource
from poa_bench.datasets.stores import FolderStore
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_IN_VOC = {-1: 0, 0: -1, 1: 1}  # absent, difficult, present -> our labels


@DATASETS.register_module()
class ListedImages(ImageDataset):
    """Pictures that the lines of an official list name.

    Args:
        path: folder of the pictures.
        ann_file: the list.
        pattern: regular expression of a whole line, with the groups `path` and `label`; lines that it does not match
            are an error.
        picture: the file, of the pattern's groups, such as ``{path}.jpg``.
        classes: names of the classes in order, or a file with one in a line; by default those of the list, sorted.
        **kwargs: see :class:`ImageDataset`.

    Raises:
        InputError: no such list, or a line or a label that is not understood.
    """

    def __init__(
        self,
        path: str,
        ann_file: str,
        pattern: str,
        picture: str = "{path}",
        classes: Sequence[str] | str | None = None,
        **kwargs,
    ):
        found = []
        for number, line in enumerate(_lines(ann_file), 1):
            match = re.fullmatch(pattern, line)
            if match is None and line:
                raise InputError(f"line {number} of {ann_file} is {line!r}, which does not fit {pattern!r}")
            found += [match] if match else []
        labels = [readable(match["label"]) for match in found]
        known = tuple(sorted(set(labels))) if classes is None else read_classes(classes)
        names = [picture.format(**match.groupdict()) for match in found]
        super().__init__(_stored(path, names, numbers_of(labels, known, ann_file), known), **kwargs)


@DATASETS.register_module()
class CubImages(ImageDataset):
    """Caltech-UCSD Birds 200-2011 as its archive has it.

    Args:
        path: folder with ``images.txt``, ``train_test_split.txt`` and ``images``.
        split: 'train' or 'test'.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, split: str = "train", **kwargs):
        wanted = {"train": "1", "test": "0"}[_one_of(split, ("train", "test"))]
        files = dict(line.split(" ", 1) for line in _lines(f"{path}/images.txt"))
        sides = dict(line.split(" ", 1) for line in _lines(f"{path}/train_test_split.txt"))
        classes = tuple(sorted({name.split("/")[0] for name in files.values()}))
        names = [name for number, name in files.items() if sides.get(number) == wanted]
        labels = numbers_of([name.split("/")[0] for name in names], classes, f"{path}/images.txt")
        super().__init__(_stored(f"{path}/images", names, labels, classes), **kwargs)


@DATASETS.register_module()
class CarsImages(ImageDataset):
    """Stanford Cars with its development kit.

    Args:
        path: folder of the pictures, ``cars_train`` or ``cars_test``.
        annotations: ``cars_train_annos.mat`` or ``cars_test_annos_withlabels.mat``.
        classes: ``cars_meta.mat``.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, annotations: str, classes: str, **kwargs):
        names = tuple(str(name) for name in _matlab(classes)["class_names"])
        check_unique(names, classes)
        rows = np.atleast_1d(_matlab(annotations)["annotations"])
        labels = np.array([int(row["class"]) - 1 for row in rows], np.int64)
        super().__init__(_stored(path, [str(row["fname"]) for row in rows], labels, names), **kwargs)


@DATASETS.register_module()
class FlowersImages(ImageDataset):
    """Oxford Flowers 102, whose pictures are ``jpg/image_00001.jpg`` and so on.

    Args:
        path: folder with ``jpg``, ``imagelabels.mat`` and ``setid.mat``.
        split: 'train', 'val' or 'test': 1,020, 1,020 and 6,149 pictures.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, split: str = "train", **kwargs):
        key = {"train": "trnid", "val": "valid", "test": "tstid"}[_one_of(split, ("train", "val", "test"))]
        every = np.atleast_1d(_matlab(f"{path}/imagelabels.mat")["labels"]).astype(np.int64) - 1
        numbers = np.atleast_1d(_matlab(f"{path}/setid.mat")[key]).astype(np.int64)
        names = [f"image_{number:05d}.jpg" for number in numbers]
        classes = tuple(str(number + 1) for number in range(every.max() + 1))
        super().__init__(_stored(f"{path}/jpg", names, every[numbers - 1], classes), **kwargs)


@DATASETS.register_module()
class CifarImages(ImageDataset):
    """CIFAR-10 or CIFAR-100 in the binary version, of which no file has to be unpickled.

    Args:
        path: folder such as ``cifar-10-batches-bin`` or ``cifar-100-binary``.
        split: 'train' or 'test'.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, split: str = "train", **kwargs):
        hundred = (Path(path) / "fine_label_names.txt").is_file()
        classes = read_classes(f"{path}/{'fine_label_names' if hundred else 'batches.meta'}.txt")
        files = {"train": ["train.bin"] if hundred else [f"data_batch_{n}.bin" for n in range(1, 6)]}
        files["test"] = ["test.bin" if hundred else "test_batch.bin"]
        before = 2 if hundred else 1  # bytes: of the coarse and the fine class, or of the class
        rows = np.concatenate([_bytes(f"{path}/{name}", before + 3072) for name in files[_one_of(split, files)]])
        images = rows[:, before:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        names = np.array([f"{split}/{number}".encode() for number in range(len(rows))])
        source = ArraySource(np.ascontiguousarray(images), rows[:, before - 1].astype(np.int64), classes, names)
        super().__init__(source, **kwargs)


@DATASETS.register_module()
class INaturalistImages(ImageDataset):
    """iNaturalist 2018 or 2019; classes are the categories' numbers.

    Args:
        path: folder that the file names of the list are in.
        ann_file: such as ``train2018.json``.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, ann_file: str, **kwargs):
        said = json.loads("\n".join(_lines(ann_file)))
        labels = {row["image_id"]: row["category_id"] for row in said["annotations"]}
        names = [row["file_name"] for row in said["images"]]
        classes = tuple(str(number) for number in range(max(row["id"] for row in said["categories"]) + 1))
        found = np.array([labels[row["id"]] for row in said["images"]], np.int64)
        super().__init__(_stored(path, names, found, classes), **kwargs)


@DATASETS.register_module()
class VocClassification(ImageDataset):
    """PASCAL VOC with all classes of each picture: rows of 1 (there), 0 (not there) and -1 (difficult, not judged).

    Args:
        path: folder of a year, such as ``VOCdevkit/VOC2007``.
        split: a list in ``ImageSets/Main``: 'train', 'val', 'trainval' or 'test'.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, split: str = "train", **kwargs):
        said = []
        for name in VOC_CLASSES:
            said.append(dict(line.split() for line in _lines(f"{path}/ImageSets/Main/{name}_{split}.txt")))
        numbers = list(said[0])
        labels = np.array([[_IN_VOC[int(flags[number])] for flags in said] for number in numbers], np.int8)
        names = [f"{number}.jpg" for number in numbers]
        super().__init__(_stored(f"{path}/JPEGImages", names, labels, VOC_CLASSES), **kwargs)


@DATASETS.register_module()
class ReassessedImages(ImageDataset):
    """ImageNet's validation pictures with the labels of ReaL (Beyer et al., 2020), several of them a picture.

    Pictures without a label are left out, as ReaL's accuracy leaves them out.

    Args:
        path: ImageNet's ``val``, in class folders; a class is the place of its folder among all, by name.
        ann_file: ``real.json``: for each picture, in the order of the numbers in their names, its classes.
        **kwargs: see :class:`ImageDataset`.
    """

    def __init__(self, path: str, ann_file: str, **kwargs):
        if not Path(ann_file).is_file():
            raise InputError(
                f"there is no {ann_file}; ReaL's real.json is at github.com/google-research/reassessed-imagenet"
            )
        said = json.loads(Path(ann_file).read_text())
        files = sorted(Path(path).glob("*/*"), key=lambda file: file.name)
        if len(files) != len(said):
            raise InputError(f"{path} has {len(files)} pictures and {ann_file} labels of {len(said)}: give all of them")
        classes = tuple(sorted({file.parent.name for file in files}))
        kept = [place for place, labels in enumerate(said) if labels]
        rows = np.zeros((len(kept), len(classes)), np.int8)
        for row, place in zip(rows, kept, strict=True):
            row[said[place]] = 1
        names = [str(files[place].relative_to(path)) for place in kept]
        super().__init__(_stored(path, names, rows, classes), **kwargs)


def _stored(path: str, names: Iterable[str], labels: np.ndarray, classes: Sequence[str]) -> StoredSource:
    names = np.array([name.encode() for name in names])
    if not Path(path).expanduser().is_dir():
        raise InputError(f"there is no folder {path}; unpack the official archive there, or give its path")
    return StoredSource(FolderStore(Path(path).expanduser(), names), np.arange(len(names)), labels, tuple(classes))


def _lines(path: str) -> list[str]:
    if not Path(path).expanduser().is_file():
        raise InputError(f"there is no list {path}; unpack the official archive there, or give its path")
    return [line.strip() for line in Path(path).expanduser().read_text().splitlines()]


def _bytes(path: str, row: int) -> np.ndarray:
    if not Path(path).is_file() or Path(path).stat().st_size % row:
        raise InputError(
            f"{path} is missing or no whole number of rows of {row} bytes: unpack the binary version again"
        )
    return np.fromfile(path, np.uint8).reshape(-1, row)


def _matlab(path: str) -> dict:
    from scipy.io import loadmat

    if not Path(path).is_file():
        raise InputError(f"there is no {path}; unpack the official archive there, or give its path")
    return loadmat(path, squeeze_me=True)


def _one_of(split: str, allowed: Iterable[str]) -> str:
    if split not in allowed:
        raise InputError(f"unknown split {split!r}: use one of {', '.join(allowed)}")
    return split
