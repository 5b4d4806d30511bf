"""The MatFormer family: ViTs whose feed-forward layers alone are nested (NeurIPS 2024), and their depth if wanted."""

import math
from typing import Any

from poa_bench.elastic.family import register
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.elastic.vit import ViT
from poa_bench.errors import InputError


class MatFormer(ViT):
    """Stock `VisionTransformer`: a sub-network has all channels and heads, and the first neurons of every block's MLP.

    The width of a size is that of the MLPs' hidden layer; `embed_dim` and `num_heads` are options of the supernet.
    """

    name = "matformer"
    architectures = {"matformer-b": "vit_base_patch16_224"}

    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        if missing := {"embed_dim", "num_heads"} - options.keys():
            raise InputError(f"a supernet of the family matformer needs {', '.join(sorted(missing))} beside its space")
        ratio = spec.width / options["embed_dim"]
        if int(ratio * options["embed_dim"]) != spec.width:  # timm rounds down
            ratio = math.nextafter(ratio, math.inf)
        return {
            "dynamic_img_size": True,
            "dynamic_img_pad": True,
            **options,
            "depth": spec.depths[0],
            "mlp_ratio": ratio,
        }

    def size(self, arguments: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        return int(arguments["embed_dim"] * arguments["mlp_ratio"]), (arguments["depth"],)

    def scaled(self, name: str) -> bool:
        return False  # no factors in the paper


register(MatFormer())
