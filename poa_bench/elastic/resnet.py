"""The ResNet family: width of the middle convolutions, depth of stages 2 and 3 (paper, eq. 12)."""

import re
from functools import partial
from typing import Any

from timm.layers import GroupNorm
from timm.models import resnet as timm_resnet
from torch import nn

from poa_bench.elastic.family import register
from poa_bench.elastic.pyramid import PyramidFamily
from poa_bench.elastic.space import SearchSpace, SubnetSpec
from poa_bench.errors import InputError

_SCALED = re.compile(r"layer\d\.\d+\.conv[23]\.weight$")
_GROUPS = 32  # of timm's "groupnorm"
_PLANES = 64  # mid channels of stage 1 that timm's base_width counts from


class ResNet(PyramidFamily):
    """Stock `ResNet` of bottlenecks with GroupNorm: a sub-network keeps the first mid channels of every block.

    The width between the blocks is the same for every size, so is the length of the class feature. Options that are
    not timm's: `fixed_depths`, the depths of stages 1 and 4, and `num_groups` of every GroupNorm.
    """

    name = "resnet"
    network_class = timm_resnet.ResNet
    mask_module = "maxpool"
    stages = ("layer2.", "layer3.")
    architectures = {"resnet-50": "resnet50_gn"}
    channels = 1

    def arguments(self, space: SearchSpace, spec: SubnetSpec, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        first, last = options.pop("fixed_depths", (3, 3))
        planes = options.get("channels", (_PLANES,))[0]
        groups = options.pop("num_groups", _GROUPS)
        base_width, remainder = divmod(spec.width * _PLANES, planes)
        if remainder or spec.width % groups:
            raise InputError(
                f"no ResNet of width {spec.width} with {planes} channels in stage 1 and {groups} groups: the width "
                "must be a multiple of num_groups, and 64 times the width a multiple of the channels"
            )
        sizes = {"layers": [first, *spec.depths, last], "base_width": base_width}
        if groups != _GROUPS:
            sizes["num_groups"] = groups
        return {"norm_layer": "groupnorm", **options, **sizes}

    def size(self, arguments: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        planes = arguments.get("channels", (_PLANES,))[0]
        return arguments["base_width"] * planes // _PLANES, tuple(arguments["layers"][1:3])

    def registry_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if "num_groups" in arguments:
            raise InputError(
                f"timm's registered ResNets take GroupNorm with {_GROUPS} groups, this one has "
                f"{arguments['num_groups']}: export it to timm and load it with the class, timm.models.resnet.ResNet"
            )
        return arguments

    def construct(self, arguments: dict[str, Any]) -> nn.Module:
        arguments = dict(arguments)
        if groups := arguments.pop("num_groups", None):
            arguments["norm_layer"] = partial(GroupNorm, num_groups=groups)
        return self.network_class(timm_resnet.Bottleneck, **arguments)

    def groups(self, name: str) -> tuple[int, ...]:
        return ()

    def scaled(self, name: str) -> bool:
        return _SCALED.search(name) is not None

    def patch_size(self, network: nn.Module) -> int:
        return network.feature_info[1]["reduction"]  # of the first stage, after the stem

    def mask_channels(self, network: nn.Module) -> int:
        return network.feature_info[0]["num_chs"]


register(ResNet())
