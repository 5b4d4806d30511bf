"""A folder for data that is made once and used by many processes."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from poa_bench.errors import InputError


def cache_folder() -> Path:
    """Return ``$POA_BENCH_CACHE``, or ``~/.cache/poa_bench`` where it is not set."""
    return Path(os.environ.get("POA_BENCH_CACHE") or Path.home() / ".cache" / "poa_bench").expanduser()


def build_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached folder ``name``, made by ``build(folder)`` if it is not there yet.

    The folder appears under its name complete or not at all: it is filled under a temporary name and renamed. Two
    processes may do so at once; the second one drops its copy.

    Raises:
        InputError: the cache folder cannot be written.
    """
    final = cache_folder() / name
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix=f".{final.name}-", dir=final.parent)
    except OSError as error:
        raise InputError(
            f"the cache folder {final.parent} cannot be written ({error.strerror}); "
            "set POA_BENCH_CACHE to a folder that can"
        ) from error
    with temporary as parent:
        folder = Path(parent) / "data"
        folder.mkdir()
        build(folder)
        try:
            folder.rename(final)
        except OSError:
            if not final.is_dir():  # otherwise another process was first, with the same content
                raise
    return final
