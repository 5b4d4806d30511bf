"""Sizes and weights: search spaces, the supernet, cutting and loading sub-networks (torch and timm only).

The names load on first use: what only reads the names of sizes (reports, picks) does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from poa_bench.elastic.space import SearchSpace, SubnetSpec

if TYPE_CHECKING:
    from poa_bench.elastic.checkpoint import load_backbone, load_subnet, load_supernet, save_subnet
    from poa_bench.elastic.family import register
    from poa_bench.elastic.supernet import Supernet

_MODULES = {
    "checkpoint": ("load_backbone", "load_subnet", "load_supernet", "save_subnet"),
    "family": ("register",),
    "supernet": ("Supernet",),
}

__all__ = [
    "SearchSpace",
    "SubnetSpec",
    "Supernet",
    "load_backbone",
    "load_subnet",
    "load_supernet",
    "register",
    "save_subnet",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"poa_bench.elastic.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
