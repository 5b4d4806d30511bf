"""What counts as a picture of a data set: one rule for folders and archives, which says what it leaves out."""

import posixpath
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from poa_bench.datasets.labels import readable
from poa_bench.datasets.stores import ArchiveStore, FolderStore

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
# what operating systems and their tools leave beside pictures, in lower case
OF_SYSTEM = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin", "lost+found")
)
BESIDE = "outside class folders"

LeftOut = Mapping[str, list[str]]  # reason -> names


def select(
    store: FolderStore | ArchiveStore, prefix: bytes, in_class_folders: bool = True
) -> tuple[np.ndarray, list[str], LeftOut]:
    """The pictures below ``prefix``; each file once, under its own name rather than a link's.

    Args:
        store: all files.
        prefix: a folder in it, with the slash at its end, or nothing.
        in_class_folders: take only those that lie in a folder below ``prefix``.

    Returns:
        Places of N pictures in the store, ascending; their N readable names below ``prefix``; what was left out.
    """
    left_out: dict[str, list[str]] = defaultdict(list)
    for reason, names in store.unusable.items():
        if inside := [readable(name[len(prefix) :]) for name in names if name.startswith(prefix)]:
            left_out[reason] = inside
    inside = np.flatnonzero(np.char.startswith(store.names, prefix)) if len(store.names) else np.array([], int)
    repeated = set(inside[_repeated(store.files[inside], store.links[inside])].tolist())
    places, names = [], []
    for place, stored in zip(inside.tolist(), store.names[inside].tolist(), strict=True):
        name = readable(stored[len(prefix) :])
        reason = "links to a picture that is there" if place in repeated else why_not(name)
        if reason and (in_class_folders or reason != BESIDE):
            left_out[reason].append(name)
        else:
            places.append(place)
            names.append(name)
    return np.array(places, int), names, dict(left_out)


def why_not(name: str) -> str | None:
    """Why a file, by its path below the class folders, is no picture of the data set; None if it is one."""
    name = name.lower()
    parts = name.split("/")
    if name.startswith(".") or "/." in name or not OF_SYSTEM.isdisjoint(parts):
        return "hidden or of the system"
    ending = posixpath.splitext(parts[-1])[1]
    if ending not in IMAGE_SUFFIXES:
        return f"with the ending {ending}" if ending else "without an ending"
    return BESIDE if len(parts) == 1 else None


def described(left_out: LeftOut) -> str:
    """What was left out, in words, the most first."""
    reasons = sorted(left_out.items(), key=lambda item: -len(item[1]))
    return ", ".join(f"{len(names)} {reason} (e.g. {names[0]})" for reason, names in reasons)


def _repeated(files: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Which of N names are links to a file that has a name of its own among them, or an earlier link, (N,) bool."""
    repeated = links & np.isin(files, files[~links])
    _, firsts = np.unique(files[links], return_index=True)
    later = np.ones(int(links.sum()), bool)
    later[firsts] = False
    repeated[np.flatnonzero(links)[later]] = True
    return repeated
