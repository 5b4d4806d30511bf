"""Optimisers and their parameter groups: layer-wise decay as in DINOv2, bf16 on any device, sharded AdamW."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from timm.models import group_parameters
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer

from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PretrainOptimWrapperConstructor:
    """One group for each learning rate and weight decay among the student's parameters.

    As in the official code (DINOv2's rule): the learning rate of layer ``i`` is multiplied by ``layer_decay ** (last -
    i)``, where the stem, tokens and position embedding are layer 0, the blocks 1 to n, the last norm n + 1 (ResNet has
    none: its last block is the last layer), and the heads are not decayed; that of the patch embedding by
    ``patch_embed_lr``, too; biases, norms and LayerScale have no weight decay, unless ``decay_also`` names them. The
    first group has the undecayed rate: it is the one that logs show.

    Args:
        optim_wrapper_cfg: config of the wrapper, with ``optimizer``.
        paramwise_cfg: ``layer_decay`` (default 1), ``patch_embed_lr`` (default 1), ``clip_apart`` (default False):
            whether `clip_grad` limits the norms of backbone and heads one by one, as the official code does, or
            together; the norm in the log is always that of all gradients. ``decay_also`` (default None): a regular
            expression for the names of biases and norms that have weight decay all the same.

    Raises:
        InputError: an unknown key, a `layer_decay` outside (0, 1], or a `decay_also` that fits no name.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None):
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = dict(self.wrapper.pop("optimizer"))
        defaults = {"layer_decay": 1.0, "patch_embed_lr": 1.0, "clip_apart": False, "decay_also": None}
        settings = {**defaults, **(paramwise_cfg or {})}
        if unknown := set(settings) - set(defaults):
            raise InputError(f"unknown paramwise_cfg keys {sorted(unknown)}: allowed are {', '.join(defaults)}")
        self.layer_decay, self.patch_embed_lr, self.clip_apart, self.decay_also = settings.values()
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay is {self.layer_decay}: it must lie in (0, 1]; 1 means no decay")

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for an objective (wrapped for several processes or not).

        A model without a student is a stand-in: OpenMMLab's `vis_scheduler.py` draws the schedules with one.
        """
        student = getattr(getattr(model, "module", model), "student", None)
        if student is None:
            print_log("the model has no student: one parameter group, no layer-wise decay", "current", logging.WARNING)
            return self._wrap([{"params": list(model.parameters())}])
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        scales, undecayed = self.learning_rate_scales(student), self.without_weight_decay(student)
        for name, parameter in student.named_parameters():
            decay = 0.0 if name in undecayed else self.optimizer.get("weight_decay", 0.0)
            groups.setdefault((scales[name], decay), []).append(parameter)
        lr = self.optimizer["lr"]
        parameters = [
            {"params": members, "lr": lr * scale, "weight_decay": decay}
            for (scale, decay), members in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ]
        print_log(f"{len(parameters)} parameter groups, layer-wise decay {self.layer_decay}", logger="current")
        wrapper = self._wrap(parameters)
        if self.clip_apart:
            wrapper.clip_func = partial(clip_apart, [set(part.parameters()) for part in student.children()])
        return wrapper

    def _wrap(self, parameters: list[dict[str, Any]]) -> OptimWrapper:
        optimizer = OPTIMIZERS.build({**self.optimizer, "params": parameters})
        return OPTIM_WRAPPERS.build({"type": "OptimWrapper", **self.wrapper, "optimizer": optimizer})

    def learning_rate_scales(self, student: nn.Module) -> dict[str, float]:
        """Factor of the learning rate for every parameter name of the student."""
        layers = layer_numbers(student.backbone)
        last = max(layers.values())
        scales = {}
        for name, _ in student.named_parameters():
            layer = layers.get(name.removeprefix("backbone."), last)
            scales[name] = self.layer_decay ** (last - layer)
            if "patch_embed" in name:
                scales[name] *= self.patch_embed_lr
        return scales

    def without_weight_decay(self, student: nn.Module) -> set[str]:
        """Names of the student's parameters that are not decayed."""
        names = without_weight_decay(student)
        if self.decay_also is None:
            return names
        also = {name for name in names if re.search(self.decay_also, name)}
        if not also:
            raise InputError(
                f"optim_wrapper.paramwise_cfg.decay_also {self.decay_also!r} fits no bias or norm of this network: "
                f"they have names such as {sorted(names)[:3]}"
            )
        return names - also


def clip_apart(parts: Sequence[set[nn.Parameter]], parameters: Sequence[nn.Parameter], **settings: Any) -> Tensor:
    """torch's `clip_grad_norm_` with its `settings` for the parameters of each part; returns the norm of all before."""
    groups = [[parameter for parameter in parameters if parameter in part] for part in parts]
    return torch.stack([nn.utils.clip_grad_norm_(group, **settings) for group in groups]).norm()


def without_weight_decay(module: nn.Module) -> set[str]:
    """Names of the parameters that are not decayed: biases, norms, LayerScale."""
    names = {name for name, _ in module.named_parameters() if name.endswith((".bias", ".gamma"))}
    norms = {prefix: part for prefix, part in module.named_modules() if isinstance(part, nn.LayerNorm | nn.GroupNorm)}
    return names | {f"{prefix}.{name}" for prefix, norm in norms.items() for name, _ in norm.named_parameters()}


def layer_numbers(supernet: Supernet) -> dict[str, int]:
    """Layer of every backbone parameter: 0 for stem and mask token, 1 to n for blocks, n + 1 for a norm after them."""
    network = supernet.network
    stem_and_blocks = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    last = max(stem_and_blocks.values()) + 1
    numbers = {"mask_token": 0}
    for name, layer in stem_and_blocks.items():
        # timm counts a last norm to the last block
        numbers[f"network.{name}"] = last if re.match(r"norm\.|fc_norm\.", name) else layer
    return numbers


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """bf16 autocast on any device, CPUs included; weights, gradients and losses stay float32, no loss scaling needed.

    For fp16 use mmengine's ``AmpOptimWrapper`` (CUDA), which scales the loss.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a training step's forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@OPTIMIZERS.register_module()
class ShardedAdamW(ZeroRedundancyOptimizer):
    """AdamW whose moments are divided among the ranks (ZeRO stage 1); needs a process group.

    Args:
        params: parameters or groups.
        settings: AdamW's.
    """

    def __init__(self, params: Any, **settings: Any):
        super().__init__(params, torch.optim.AdamW, **settings)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As always; with `fused` the counts of steps go where the parameters are: torch leaves them on the CPU."""
        super().load_state_dict(state_dict)
        for group in self.optim.param_groups:
            for parameter in group["params"] if group.get("fused") else ():
                state = self.optim.state[parameter]
                state.update({name: value.to(parameter.device) for name, value in state.items()})
