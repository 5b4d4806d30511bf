"""Sizes and weights: search spaces, the supernet, cutting and loading sub-networks (torch and timm only)."""

from poa_bench.elastic import resnet, swin, vit  # noqa: F401  (each registers its family)
from poa_bench.elastic.checkpoint import LoadReport, load_backbone, load_subnet, load_supernet, save_subnet
from poa_bench.elastic.family import FAMILIES, Family, Output
from poa_bench.elastic.space import ALIASES, SearchSpace, SubnetSpec, kept_blocks
from poa_bench.elastic.supernet import Supernet

__all__ = [
    "ALIASES",
    "FAMILIES",
    "Family",
    "LoadReport",
    "Output",
    "SearchSpace",
    "SubnetSpec",
    "Supernet",
    "kept_blocks",
    "load_backbone",
    "load_subnet",
    "load_supernet",
    "save_subnet",
]
