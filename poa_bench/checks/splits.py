"""Compares the splits of a config: the same classes, and no picture in two of them."""

import hashlib
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from poa_bench.checks.result import APART, CLASSES, FILES, Checked, examples
from poa_bench.datasets.labels import compare_labels, readable
from poa_bench.datasets.stores import FolderStore
from poa_bench.machine import cores

MOST_READ = 5000  # files that are compared by content unless all are wanted
PUBLIC_DUPLICATES = 0.005  # share of a split: sets that everybody uses have this many copies under other names
_UNKNOWN = -1  # size
_STORED = (-1, 0)  # methods of archives that leave a file's size as it is


@dataclass
class Pictures:
    """The pictures of a split: which files they are, as far as known, how long, and how their bytes are read."""

    names: Sequence[str]
    files: Sequence[Hashable]  # the same for hard links, soft links and two paths of a file; None where there is none
    sizes: np.ndarray  # bytes; -1 where not known without a look
    read: Callable[[int], bytes]
    in_memory: bool = False


def check_same_names(row: Checked, trained: Checked) -> None:
    """Every class is one of the train split's, as evaluation compares them: by name."""
    found = trained.dataset and compare_labels(row.dataset, trained.dataset)
    if found and found.unknown:
        problem = f"{len(found.unknown)} of its classes are not in {trained.where}: {examples(found.unknown)}"
        row.fail(CLASSES, problem, f"there are {examples(found.known)}")
    if found and found.absent:
        row.notes.append(f"{len(found.absent)} classes of {trained.where} are not in it: {examples(found.absent)}")


def check_same_labels(row: Checked, trained: Checked) -> None:
    """Every class is one of the train split's and has the same number there."""
    if not row.labels or not trained.labels:
        return
    if unknown := [name for name in row.labels if name not in trained.labels]:
        problem = f"{len(unknown)} of its classes are not in {trained.where}: {examples(unknown)}"
        row.fail(CLASSES, problem, f"there are {examples(trained.labels)}")
    if missing := [name for name in trained.labels if name not in row.labels]:
        row.notes.append(f"{len(missing)} classes of {trained.where} are not in it: {examples(missing)}")
    for label, name in enumerate(row.labels):
        if name in trained.labels and (number := trained.labels.index(name)) != label:
            row.fail(
                CLASSES,
                f"{name!r} is label {label} and in {trained.where} label {number}: what the network learns as one "
                "class is scored as another",
                "order the classes (COCO: `categories` of the annotation file) alike",
            )
            break


def check_overlap(splits: dict[str, list[Checked]], every_picture: bool) -> None:
    """No picture of val or test is in train, and none of test in val: neither the same file nor one of equal content.

    Args:
        splits: 'train', 'val', 'test' -> their data sets; only those whose files are there are compared.
        every_picture: compare all by content, not as many as can be read soon.
    """
    known: dict[str, Pictures] = {}
    for earlier, later in (("train", "val"), ("train", "test"), ("val", "test")):
        for row, other in product(splits.get(later, []), splits.get(earlier, [])):
            if not (_is_comparable(row) and _is_comparable(other)):
                continue
            for one in (row, other):
                if one.where not in known:
                    known[one.where] = pictures_of(one.dataset)
            first, second = known[other.where], known[row.where]
            if later == "test" and earlier == "val" and None not in first.files and first.files == second.files:
                row.notes.append(f"the same pictures as {other.where}: nothing may be chosen on them")
            else:
                _compare(row, other, second, first, None if every_picture else MOST_READ)


def _is_comparable(row: Checked) -> bool:
    """Whether the pictures are known and all there."""
    return bool(getattr(row.dataset, "data_list", None)) and row.fine.get(FILES) != "no" and not row.broken


def pictures_of(dataset: Any) -> Pictures:
    """What is known of a data set's pictures without reading one."""
    infos = dataset.data_list
    if "img_path" in infos[0]:
        return _files([info["img_path"] for info in infos])
    source, positions = dataset.source, [info["position"] for info in infos]
    store = getattr(source, "store", None)
    if store is None:  # in memory
        names, sizes = [info["name"] for info in infos], np.full(len(infos), _UNKNOWN)
        return Pictures(names, [None] * len(infos), sizes, lambda i: source.read(positions[i]).numpy().tobytes(), True)
    places = source.places[positions]
    folder = isinstance(store, FolderStore)
    root = os.fsencode(store.root if folder else store.path)
    names = [os.path.join(root, name) for name in store.names[places].tolist()]
    if folder:
        return _files(names)
    sizes = np.where(np.isin(store.methods[places], _STORED), store.sizes[places], _UNKNOWN)
    files = [(store.path, offset) for offset in store.offsets[places].tolist()]
    return Pictures(list(map(readable, names)), files, sizes, lambda i: store.read(places[i]))


def _files(paths: list[str] | list[bytes]) -> Pictures:
    stats = [os.stat(path) for path in paths]
    files = [(stat.st_dev, stat.st_ino) for stat in stats]
    sizes = np.array([stat.st_size for stat in stats])
    return Pictures([readable(os.fsencode(path)) for path in paths], files, sizes, lambda i: _content(paths[i]))


def _content(path: str | bytes) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _compare(row: Checked, other: Checked, later: Pictures, earlier: Pictures, most: int | None) -> None:
    """Note what a split (``row``) shares with an earlier one (``other``)."""
    places = {file: place for place, file in enumerate(earlier.files) if file is not None}
    same = [(place, places[file]) for place, file in enumerate(later.files) if file in places]
    rest = sorted(set(range(len(later.names))) - {place for place, _ in same})
    chosen, candidates = _affordable(later.sizes, earlier.sizes, rest, None if earlier.in_memory else most)
    equal = _equal_content(later, earlier, chosen, candidates)
    if len(chosen) < len(rest):
        row.notes.append(f"{len(chosen)} of {len(rest)} pictures compared by content with {other.where}")
    if not same and not equal:
        row.passed(APART)
        return
    place, twin = (same or equal)[0]
    found = (
        f"{len(same) + len(equal)} of its {len(later.names)} pictures are in {other.where}, too ({len(same)} the same "
        f"file, {len(equal)} of equal content), e.g. {later.names[place]} = {earlier.names[twin]}"
    )
    if not same and len(equal) <= PUBLIC_DUPLICATES * len(later.names):
        row.notes.append(found)
        row.passed(APART, f"but {len(equal)}")
    else:
        row.fail(APART, found, "leave them out of one of the two")


def _affordable(
    later: np.ndarray, earlier: np.ndarray, rest: list[int], most: int | None
) -> tuple[list[int], list[int]]:
    """Which pictures to compare with which: files of other sizes need not be read, and at most ``most`` are."""
    if (later[rest] == _UNKNOWN).any():
        fits = most is None or len(rest) + len(earlier) <= most
        return (rest, list(range(len(earlier)))) if fits else ([], [])
    order = np.argsort(earlier, kind="stable")
    spans = np.searchsorted(earlier[order], later, "left"), np.searchsorted(earlier[order], later, "right")
    chosen: list[int] = []
    candidates = set(np.flatnonzero(earlier == _UNKNOWN).tolist())
    for place in np.random.default_rng(0).permutation(rest).tolist():  # those that are chosen are spread over all
        alike = [one for one in order[spans[0][place] : spans[1][place]].tolist() if one not in candidates]
        if most is not None and len(chosen) + len(candidates) + len(alike) >= most:
            break
        chosen.append(place)
        candidates.update(alike)
    return sorted(chosen), sorted(candidates)


def _equal_content(later: Pictures, earlier: Pictures, chosen: list[int], candidates: list[int]) -> list[tuple]:
    """Pairs of places with equal content."""
    if not candidates:
        return []
    jobs = [(earlier, place) for place in candidates] + [(later, place) for place in chosen]
    console = Console(stderr=True)
    with ThreadPool(cores()) as threads:
        digests = threads.imap(_digest, jobs, 16)
        shown = track(digests, "comparing pictures", len(jobs), console=console, disable=not console.is_terminal)
        found = list(shown)
    twins = dict(zip(found[: len(candidates)], candidates, strict=True))
    return [
        (place, twins[digest])
        for place, digest in zip(chosen, found[len(candidates) :], strict=True)
        if digest in twins
    ]


def _digest(job: tuple[Pictures, int]) -> bytes:
    pictures, place = job
    return hashlib.blake2b(pictures.read(place), digest_size=16).digest()
