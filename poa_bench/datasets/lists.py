"""Annotation lists: text files with a ``path label`` in each line, a tab between them where the label has spaces."""

import codecs
import logging
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from poa_bench.datasets.labels import quoted, readable
from poa_bench.errors import InputError

MOST_CLASSES = 1_000_000  # a number beyond is no class, and as many would be made


def read_list(ann_file: Path, classes: Sequence[str] | None = None) -> tuple[list[bytes], np.ndarray]:
    """The paths and labels of an annotation list; a path that is repeated is taken once.

    Args:
        ann_file: text file; a label is a number from 0 or, where classes are given, the name of one.
        classes: names of the numbers.

    Returns:
        N paths as they are written, (N,) int64 labels.

    Raises:
        InputError: no such file, a line that cannot be understood, a label without a class, or two labels of one path.
    """
    if not ann_file.is_file():
        raise InputError(f"there is no annotation file {ann_file}; give one with a `path label` in each line")
    numbers = {name: number for number, name in enumerate(classes or ())}
    labels: dict[bytes, int] = {}
    repeated = 0
    for number, line in enumerate(ann_file.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if not line.strip():
            continue
        where = f"line {number} of {ann_file}"
        path, label = _parse(line, numbers, where)
        repeated += path in labels
        if labels.setdefault(path, label) != label:
            raise InputError(f"{where} says label {label} of {readable(path)}, but a line before it {labels[path]}")
    if not labels:
        raise InputError(f"the annotation file {ann_file} names no picture; expected a `path label` in each line")
    if repeated:
        print_log(f"{repeated} repeated lines of {ann_file} are left out", logger="current", level=logging.WARNING)
    return list(labels), np.fromiter(labels.values(), np.int64)


def class_folders(paths: Sequence[bytes], labels: np.ndarray) -> tuple[str, ...]:
    """The folder that holds the pictures of each label, by number; empty unless each label has one of its own.

    Args:
        paths: of N pictures.
        labels: (N,) int64.
    """
    folders: dict[int, str] = {}
    for path, label in zip(paths, labels.tolist(), strict=True):
        folder = readable(posixpath.basename(posixpath.dirname(path)))
        if not folder or folders.setdefault(label, folder) != folder:
            return ()
    if len(set(folders.values())) < len(folders):
        return ()
    return tuple(folders.get(label, str(label)) for label in range(max(folders) + 1))


def _parse(line: bytes, numbers: dict[str, int], where: str) -> tuple[bytes, int]:
    path, _, label = (part.strip() for part in line.strip().rpartition(b"\t" if b"\t" in line.strip() else b" "))
    text = readable(label)
    if path and text in numbers:
        return path, numbers[text]
    if not path or not (text.isascii() and text.isdecimal()):
        expected = f"or one of {quoted(numbers)}" if numbers else "(names need a class list: classes=[...])"
        if any(" " in name for name in numbers):
            expected += "; a tab stands before a name with spaces"
        raise InputError(f"{where} is {readable(line)!r}; expected `path label` with a number from 0 {expected}")
    if len(text) > len(str(MOST_CLASSES)) or int(text) >= MOST_CLASSES:
        raise InputError(f"{where} has label {text:.20}: labels are numbers of classes, below {MOST_CLASSES:,}")
    if numbers and int(text) >= len(numbers):
        raise InputError(f"{where} has label {text}, but the {len(numbers)} classes are {quoted(numbers)}")
    return path, int(text)
