"""Layer-wise learning-rate decay: the earlier the layer, the smaller its learning rate."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from timm.models import group_parameters
from torch import nn

from poa_bench.errors import InputError
from poa_bench.quiet import log_from
from poa_bench.registry import OPTIM_WRAPPER_CONSTRUCTORS


def timm_layer_depths(network: nn.Module) -> dict[str, int]:
    """Depth of every parameter of a timm network: 0 for the stem, then one for each block (timm's own grouping, which
    counts a last norm as part of the last block).
    """
    return group_parameters(network, network.group_matcher(coarse=False), reverse=True)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, and one more key in `paramwise_cfg`: `layer_decay_rate`.

    The learning rate of a parameter is multiplied by `layer_decay_rate ** (total - 1 - depth)`, where (depth, total) is
    what `get_layer_depth(name, prefix)` of the sub-module says which holds it; parameters outside such a sub-module
    keep theirs (BEiT, arXiv 2106.08254). All other keys (`norm_decay_mult`, `custom_keys`, ...) work as always, and
    their learning rates are decayed too. Parameters with equal settings share one group.

    Example::

        optim_wrapper = dict(
            constructor='poa_bench.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.7, norm_decay_mult=0.0, bias_decay_mult=0.0),
            optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.05))
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        self.rate = self.paramwise_cfg.get("layer_decay_rate", 1.0)
        if not 0 < self.rate <= 1:
            raise InputError(f"layer_decay_rate is {self.rate}: it must lie in (0, 1]; 1 means no decay")

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = "", **kwargs: Any) -> None:
        """Fill `params` with one group for each combination of settings."""
        if prefix:  # the default implementation calls this method for every child, too
            return super().add_params(params, module, prefix, **kwargs)
        with log_from(logging.ERROR):  # it logs a line or two for every parameter
            super().add_params(params, module, prefix, **kwargs)
        scales = layer_scales(module, self.rate)
        groups: dict[tuple, dict] = {}
        for group in params:
            settings = {key: value for key, value in group.items() if key != "params"}
            (parameter,) = group["params"]
            settings["lr_scale"] = scales[parameter]
            settings["lr"] = settings.get("lr", self.base_lr) * scales[parameter]
            same = groups.setdefault(tuple(sorted(settings.items())), {**settings, "params": []})
            same["params"].append(parameter)
        params[:] = groups.values()
        print_log(f"layer-wise decay {self.rate}: {len(params)} parameter groups", logger="current")


def layer_scales(model: nn.Module, rate: float) -> dict[nn.Parameter, float]:
    """The factor on the learning rate of every parameter of a model."""
    scales = dict.fromkeys(model.parameters(), 1.0)
    found = False
    for prefix, module in model.named_modules():
        if prefix and hasattr(module, "get_layer_depth"):
            found = True
            prefix = f"{prefix}."
            for name, parameter in module.named_parameters(prefix=prefix[:-1]):
                depth, total = module.get_layer_depth(name, prefix)
                scales[parameter] = rate ** (total - 1 - depth)
    if not found and rate < 1:
        raise InputError(
            f"layer_decay_rate is {rate}, but no part of {type(model).__name__} has get_layer_depth(): use "
            "a poa_bench.SubnetBackbone, or take layer_decay_rate out of paramwise_cfg"
        )
    return scales
