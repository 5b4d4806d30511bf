"""The few harmless classes that a mmengine checkpoint pickles: nothing else is ever called while one is read."""

import argparse
from collections import OrderedDict
from typing import Any

import numpy as np

from poa_bench.errors import InputError


def safe_globals() -> list[Any]:
    """What a mmengine checkpoint, or an official one with its command line, holds besides tensors and plain values."""
    from mmengine.logging.history_buffer import HistoryBuffer

    core = np._core if hasattr(np, "_core") else np.core
    return [
        HistoryBuffer,
        (_history_method, "builtins.getattr"),
        OrderedDict,
        argparse.Namespace,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
    ]


def _history_method(owner: Any, name: str) -> Any:
    """Stands for `getattr` while a checkpoint is read: HistoryBuffer pickles its methods by name."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith("_"):
        raise InputError(f"a checkpoint may not look up {name!r} of {owner!r}")
    return getattr(owner, name)
