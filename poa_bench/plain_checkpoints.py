"""Files of weights are read, never executed, also where mmengine, mmdet, mmseg or mmpretrain open them.

mmengine reads a checkpoint without executing it and, where that fails, executes it after all. Here it may not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.runner.checkpoint import CheckpointLoader

from poa_bench.elastic.training_checkpoint import read_checkpoint
from poa_bench.errors import InputError

_OTHERS = ("pavi://", "s3://", "modelzoo://", "torchvision://", "open-mmlab://", "openmmlab://", "mmcls://")


def refuse_pickles() -> None:
    """From now on mmengine's loaders in this process read tensors and plain values only."""
    CheckpointLoader.register_scheme("", load_from_file, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), load_from_https, force=True)
    CheckpointLoader.register_scheme(_OTHERS, load_from_elsewhere, force=True)


def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """As mmengine's own loader of local files; raises InputError for one that would have to be executed."""
    # not mapped into memory: what is resumed is changed in place
    return read_checkpoint(Path(filename).expanduser(), mapped=False)


def load_from_https(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
    """As mmengine's, into torch's folder of checkpoints; one process of a machine does it."""
    target = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(filename).path).name)
    if dist.get_local_rank() == 0 and not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(target))
    dist.barrier()
    return load_from_file(str(target))


def load_from_elsewhere(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
    raise InputError(
        f"{filename}: weights are read from a file or from https://...; download them, or give that address"
    )
