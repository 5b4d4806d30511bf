"""Files that are either whole or not there, and their fingerprints."""

import functools
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poa_bench.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` only if the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp makes private files; ours are for sharing
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text as UTF-8, whole or not at all; returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def file_name(text: str) -> str:
    """A name from elsewhere as one of a file, which stays in its folder: of letters, digits, `.`, `-` and `_` alone.

    >>> file_name("/../../latency at 1")
    '_____latency_at_1'
    """
    return re.sub(r"[^\w.-]|^\.+|\.\.+", "_", text, flags=re.ASCII)


def remove_leftovers(directory: str | Path, pattern: str) -> None:
    """Remove what a process that was killed inside `atomic_path` has left of files whose name matches `pattern`."""
    for leftover in Path(directory).glob(f".{pattern}.*.tmp"):
        leftover.unlink()


def state_of(path: str | Path | int) -> tuple[int, ...]:
    """Number, size and times of a file (or open file): others whenever it is another, also within a tick of the clock.

    Not the device: the computers of a cluster number the disk that they share each in their own way.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextmanager
def unchanged(path: str | Path) -> Iterator[None]:
    """For a block that reads a file more than once, such as its tensors and its hash.

    Raises:
        InputError: there is no such file, or at the end of the block it is another one.
    """
    before = state_of(existing(path))
    yield
    if not os.path.exists(path) or state_of(path) != before:
        raise InputError(f"{path} was changed while it was read: run the command again when nobody writes it")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits; computed once in a process for each `state_of` the file.

    Raises:
        InputError: there is no such file.
    """
    resolved = existing(path).resolve()
    return _sha256(resolved, state_of(resolved))


def existing(path: str | Path) -> Path:
    """The path of a file; raises InputError if there is none."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    return path


@functools.lru_cache(maxsize=1024)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream) -> str:
    # Python 3.10 has no hashlib.file_digest
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
