"""A folder for data that is made once and used by many processes."""

import json
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from poa_bench.errors import InputError

_CHECK_SUMS = "check_sums.json"
_known_whole: set[Path] = set()  # in this process


def cache_folder() -> Path:
    """Return ``$POA_BENCH_CACHE``, or ``~/.cache/poa_bench`` where it is not set."""
    return Path(os.environ.get("POA_BENCH_CACHE") or Path.home() / ".cache" / "poa_bench").expanduser()


def build_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached folder ``name``, made by ``build(folder)`` if it is not there yet, or not whole.

    The folder appears under its name complete or not at all: it is filled under a temporary name and renamed. Two
    processes may do so at once; the second one drops its copy. Size and CRC-32 of every file are kept in the folder and
    looked at once in a process, at some 1 GB/s: what a full disk or a crash has left is made again.

    Raises:
        InputError: the cache folder cannot be written, or has no room.
    """
    final = cache_folder() / name
    if _is_whole(final):
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent) as parent:
            folder = Path(parent) / "data"
            folder.mkdir()
            build(folder)
            (folder / _CHECK_SUMS).write_text(json.dumps(_check_sums(folder)))
            _put(folder, final)
    except OSError as error:
        raise InputError(
            f"the cache folder {final.parent} cannot be written ({error.strerror}); "
            "set POA_BENCH_CACHE to a folder that can"
        ) from error
    return final


def _put(folder: Path, final: Path) -> None:
    """Give the folder its name; one that is there under it is taken away, unless another process has just put it."""
    if final.exists():
        if _is_whole(final):
            return
        final.rename(folder.with_name("broken"))  # removed with the temporary folder
    try:
        folder.rename(final)
    except OSError:
        if not _is_whole(final):  # otherwise another process was first, with the same content
            raise


def _is_whole(folder: Path) -> bool:
    """Whether the folder has its files as they were made; asked of the disk once in a process if it is."""
    if not folder.is_dir():
        return False
    if folder not in _known_whole and _agrees(folder):
        _known_whole.add(folder)
    return folder in _known_whole


def _agrees(folder: Path) -> bool:
    try:
        return json.loads((folder / _CHECK_SUMS).read_bytes()) == _check_sums(folder)
    except (OSError, ValueError):
        return False


def _check_sums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file by its path in the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _CHECK_SUMS:
            content = path.read_bytes()
            found[path.relative_to(folder).as_posix()] = [len(content), zlib.crc32(content)]
    return found
