"""Decodes every picture of a data set, on all cores, to find those that a training would stop at."""

import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

CHUNK = 16  # pictures that a thread takes at a time


def broken_files(paths: Sequence[str | Path]) -> list[tuple[str, Exception]]:
    """The picture files that Pillow cannot decode, and why."""

    def decode(place: int) -> None:
        with Image.open(paths[place]) as image:
            image.load()

    return list(broken(decode, [str(path) for path in paths]))


def broken(decode: Callable[[int], object], names: Sequence[str]) -> Iterator[tuple[str, Exception]]:
    """The pictures that cannot be decoded, and why; with a progress bar on standard error.

    Args:
        decode: reads and decodes picture i, or raises; decoders let go of Python's lock, so threads are enough.
        names: of the pictures.
    """

    def attempt(place: int) -> tuple[int, Exception | None]:
        try:
            decode(place)
        except Exception as error:  # decoders raise of many kinds, and all of them are the answer here
            return place, error
        return place, None

    with ThreadPool(len(os.sched_getaffinity(0))) as threads:
        attempts = threads.imap(attempt, range(len(names)), CHUNK)
        console = Console(stderr=True)
        for place, error in track(attempts, "decoding", len(names), console=console, disable=not console.is_terminal):
            if error is not None:
                yield names[place], error
