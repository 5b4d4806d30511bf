"""Where a number comes from: the code's version, the file's hash, the memory it took."""

from __future__ import annotations

import functools
import hashlib
import json
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from poa_bench.errors import InputError

# the distributions whose version can change a number
VERSIONED = (
    "poa_bench",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scikit-learn",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmsegmentation",
    "onedl-mmpretrain",
)


def canonical_hash(value: Any) -> str:
    """SHA-256 (64 hex digits) of a JSON value, whatever the order of its keys.

    Raises:
        InputError: the value holds something that JSON cannot say, such as a function or NaN.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"a config can only be hashed if it holds plain JSON values; {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def stamp() -> dict[str, Any]:
    """Where the numbers come from: keys `git_sha`, `git_dirty` and `versions`, ready for `Result(**stamp(), ...)`.

    `git_sha` is 'wheel' (and never dirty) where the package does not run from its source checkout.
    """
    return {**_git_state(), "versions": dict(_versions())}


@functools.lru_cache(maxsize=1)
def _git_state() -> dict[str, Any]:
    # once per process: the code that runs is the code that was imported
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"git_sha": "wheel", "git_dirty": False}
    try:
        sha = _git(root, "rev-parse", "HEAD")
        return {"git_sha": sha, "git_dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):  # git is not installed, or the checkout has no commit yet
        return {"git_sha": "unknown", "git_dirty": True}


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@functools.lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    # once per process, too: looking them up takes longer than many a task's arithmetic
    found = {"python": sys.version.split()[0]}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # optional parts leave no row
    return found


def peak_memory_bytes() -> int:
    """The peak so far: of the GPU where torch has used one, else of this process (resident set)."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return torch.cuda.max_memory_allocated()
    scale = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
