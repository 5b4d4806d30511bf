"""Files beside a run's `result.json`, which says their sha256."""

from __future__ import annotations

import shutil
from pathlib import Path

from poa_bench.errors import InputError
from poa_bench.files import atomic_path, sha256_file


def copy_beside(source: Path, path: Path) -> None:
    """Copy a file whole or not at all; nothing where it is the same one, or is not there."""
    if source != path and source.exists():
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)


def check_sha256(path: Path, sha256: str | None) -> None:
    """Raise InputError where a file is not the one that its result says; OSError where there is none."""
    if sha256 is not None and (found := sha256_file(path)) != sha256:
        raise InputError(f"{path} has the sha256 {found[:8]}, and the result says {sha256[:8]}: it is another run's")
