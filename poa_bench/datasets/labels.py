"""Labels belong to names: what the classes of a data set are called, and how the numbers of its splits are compared.

The classes of the train split (or the class list that its config gives) number those of all other splits.
"""

import logging
import unicodedata
from collections.abc import Iterable, Sequence
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


def quoted(names: Iterable[str]) -> str:
    """The first names, and how many there are if there are more."""
    names = list(names)
    return ", ".join(map(repr, names[:SHOWN])) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")


def read_classes(classes: Sequence[str] | str) -> tuple[str, ...]:
    """The class list of a config: names, or the path of a text file with one name a line.

    Raises:
        InputError: no such file, no name, or a name appears twice.
    """
    if isinstance(classes, str):
        path = Path(classes).expanduser()
        if not path.is_file():
            raise InputError(f"there is no class list {path}; give the names, or a file with one name a line")
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


def label_map(split: Any, train: Any, where: str) -> np.ndarray | None:
    """The number in the train split of each label of another split: ``map[label of split]``; -1 for unused labels.

    A class of train without a picture in the split is a warning.

    Args:
        split, train: data sets with mmengine's ``metainfo['classes']``.
        where: what the split is called, for messages.

    Returns:
        (number of the split's classes,) int64; None if either data set does not name its classes.

    Raises:
        InputError: a class of the split has no image in train.
    """
    own, classes = classes_of(split), classes_of(train)
    if own is None or classes is None:
        return None
    present, known = present_classes(split), present_classes(train)
    if unknown := [name for name in present if name not in known]:
        close = get_close_matches(unknown[0], known, n=1)
        raise InputError(
            f"classes {quoted(unknown)} of {where} have no image in train, so nothing can predict them: train has "
            f"{quoted(known)}{f' (did you mean {close[0]!r}?)' if close else ''}; rename or remove them, or name the "
            "numbers of an annotation list by `classes`"
        )
    expected = classes if split is train else known
    if absent := [name for name in expected if name not in present]:
        print_log(f"{where} has no picture of {quoted(absent)}", logger="current", level=logging.WARNING)
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[name] if name in present else -1 for name in own], np.int64)


def classes_of(dataset: Any) -> tuple[str, ...] | None:
    """The names of a data set's classes, by number; None if it has none."""
    classes = getattr(dataset, "metainfo", {}).get("classes")
    return None if classes is None else tuple(map(str, classes))


def present_classes(dataset: Any) -> dict[str, None]:
    """The classes that a data set has pictures of, ordered by number; all where it does not say."""
    classes = classes_of(dataset)
    labels = getattr(dataset, "labels", None)
    return dict.fromkeys(classes if labels is None else [classes[label] for label in np.unique(labels)])
