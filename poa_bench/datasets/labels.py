"""Labels belong to names: what the classes of a data set are called, and how the numbers of its splits are compared.

The classes of the train split (or the class list that its config gives) number those of all other splits.
"""

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from poa_bench.errors import InputError

SHOWN = 5  # names in a message


def readable(name: str | bytes) -> str:
    """A file's or class's name as it is compared and printed: accents composed, bytes that are not UTF-8 escaped."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def quoted(names: Iterable[str], shown: int = SHOWN) -> str:
    """The first names, and how many there are if there are more."""
    names = list(names)
    return ", ".join(map(repr, names[:shown])) + (f", ... ({len(names)} in all)" if len(names) > shown else "")


def read_classes(classes: Sequence[str] | str) -> tuple[str, ...]:
    """The class list of a config: names, or the path of a text file with one name per line.

    Raises:
        InputError: no such file, no name, or a name appears twice.
    """
    if isinstance(classes, str):
        path = Path(classes).expanduser()
        if not path.is_file():
            raise InputError(f"there is no class list {path}; give the names, or a file with one name per line")
        classes = filter(None, map(str.strip, path.read_text("utf-8-sig", "backslashreplace").splitlines()))
    names = tuple(readable(str(name)) for name in classes)
    if not names:
        raise InputError("the class list is empty; give the name of each class")
    check_unique(names, "the class list")
    return names


def check_unique(names: Sequence[str], where: str) -> None:
    """Raise InputError if a class name appears twice."""
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{where} has {quoted(twice)} more than once; give every class a name of its own")


def numbers_of(names: Iterable[str], classes: Sequence[str], where: str) -> np.ndarray:
    """Places of names in a class list, (N,) int64.

    Raises:
        InputError: a name is not in the list; `where` says whose names they are.
    """
    places = {name: place for place, name in enumerate(classes)}
    names = list(names)
    if unknown := sorted(set(names) - set(places)):
        close = get_close_matches(unknown[0], classes, n=1)
        raise InputError(
            f"{where} has {quoted(unknown)}, not among the classes {quoted(classes)}"
            f"{f' (did you mean {close[0]!r}?)' if close else ''}; rename or remove them, or add them to the class list"
        )
    return np.array([places[name] for name in names], np.int64)


@dataclass(frozen=True)
class Comparison:
    """The classes of a split beside those of train, by name.

    Attributes:
        numbers: (number of the split's classes,) int64, train's label of each label; -1 for those without pictures.
        unknown: classes of the split that train has no picture of.
        absent: classes of train that the split has no picture of.
        known: classes that train has pictures of.
    """

    numbers: np.ndarray
    unknown: list[str]
    absent: list[str]
    known: list[str]


def compare_labels(split: Any, train: Any) -> Comparison | None:
    """Compare two data sets with mmengine's ``metainfo['classes']``; None if either does not name its classes."""
    own, classes = _comparable(split, train)
    if own is None or classes is None:
        return None
    present = [own[label] for label in _present(split, len(own))]
    known = [classes[label] for label in _present(train, len(classes))]
    numbers = {name: number for number, name in enumerate(classes)}
    return Comparison(
        np.array([numbers.get(name, -1) if name in present else -1 for name in own], np.int64),
        [name for name in present if name not in known],
        [name for name in (classes if split is train else known) if name not in present],
        known,
    )


def label_map(split: Any, train: Any, where: str) -> np.ndarray | None:
    """The number in the train split of each label of another split: ``map[label of split]``; -1 for unused labels.

    A class of train without a picture in the split is a warning.

    Args:
        split, train: data sets, see :func:`compare_labels`.
        where: what the split is called, for messages.

    Returns:
        (number of the split's classes,) int64; None if either data set does not name its classes.

    Raises:
        InputError: a class of the split has no image in train.
    """
    found = compare_labels(split, train)
    if found is None:
        return None
    if found.unknown:
        close = get_close_matches(found.unknown[0], found.known, n=1)
        raise InputError(
            f"classes {quoted(found.unknown)} of {where} have no image in train, so nothing can predict them: train "
            f"has {quoted(found.known)}{f' (did you mean {close[0]!r}?)' if close else ''}; rename or remove "
            "them, or name the numbers of an annotation list by `classes`"
        )
    if found.absent:
        print_log(f"{where} has no picture of {quoted(found.absent)}", logger="current", level=logging.WARNING)
    return found.numbers


def _comparable(split: Any, train: Any) -> list[tuple[str, ...] | None]:
    """What the classes of two data sets are called, by number.

    The numbers of an annotation list are names only beside another list's: else the folders of its pictures are.
    """
    classes = [classes_of(data) for data in (split, train)]
    folders = [getattr(getattr(data, "source", None), "folders", None) for data in (split, train)]
    if () in folders:  # a list without class folders has nothing but numbers
        return classes
    return [of_folders or own for of_folders, own in zip(folders, classes, strict=True)]


def _present(dataset: Any, classes: int) -> list[int]:
    """The labels that a data set has pictures of, ascending; all where it does not say."""
    labels = getattr(dataset, "labels", None)
    if labels is None:
        return [*range(classes)]
    return np.unique(labels).tolist() if labels.ndim == 1 else np.flatnonzero((labels > 0).any(0)).tolist()


def classes_of(dataset: Any) -> tuple[str, ...] | None:
    """The names of a data set's classes, by number; None if it has none."""
    classes = getattr(dataset, "metainfo", {}).get("classes")
    return None if classes is None else tuple(map(str, classes))
