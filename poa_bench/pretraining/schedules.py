"""Schedules: every value is a function of the iteration alone, so that resuming needs no state."""

import math
from dataclasses import fields
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from poa_bench.errors import InputError
from poa_bench.registry import HOOKS


def training_model(runner: Runner) -> nn.Module:
    """The model itself, without the wrapper for several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def interpolate(start: float, end: float, progress: float, shape: str = "linear") -> float:
    """The value at ``progress`` (clipped to 0..1) on a straight line or half a cosine from ``start`` to ``end``."""
    progress = min(max(progress, 0.0), 1.0)
    if shape == "cosine":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return start + (end - start) * progress


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Decide one of the objective's settings before every step.

    Args:
        attribute: name of the setting; POA has ``teacher_temperature``, ``teacher_momentum``, ``patch_weight``.
        start: value until ``begin``.
        end: value from ``begin + length`` on.
        shape: ``linear`` or ``cosine``.
        begin: in epochs, or in iterations with ``by_epoch=False``.
        length: the same; 0 is a step; None goes on to the end of the run.
        cut: the run ends at this share of the schedule (the official ``iter_num_scale``); for ``length=None``.
        by_epoch: unit of ``begin`` and ``length``.
    """

    def __init__(
        self,
        attribute: str,
        start: float,
        end: float,
        shape: str = "linear",
        begin: float = 0,
        length: float | None = None,
        cut: float = 1.0,
        by_epoch: bool = True,
    ):
        if shape not in ("linear", "cosine"):
            raise InputError(f"schedule of {attribute}: shape {shape!r} is unknown: use 'linear' or 'cosine'")
        self.attribute, self.start, self.end, self.shape = attribute, start, end, shape
        self.begin, self.length, self.cut, self.by_epoch = begin, length, cut, by_epoch

    def value(self, iteration: int, epoch_length: int, max_iters: int) -> float:
        """The value of this iteration (from 0) of a run of ``max_iters``."""
        unit = epoch_length if self.by_epoch else 1
        begin = self.begin * unit
        length = max_iters / self.cut - begin if self.length is None else self.length * unit
        if length <= 0:
            return self.end if iteration >= begin else self.start
        return interpolate(self.start, self.end, (iteration - begin) / length, self.shape)

    def before_train(self, runner: Runner) -> None:
        """Refuse a setting that the objective does not have."""
        objective = training_model(runner)
        known = [field.name for field in fields(objective.settings) if field.name != "sizes"]
        if self.attribute not in known:
            raise InputError(
                f"{type(objective).__name__} has no setting {self.attribute!r} to schedule: it has "
                f"{', '.join(known) or 'none'}"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decide and log the value."""
        value = self.value(runner.iter, len(runner.train_dataloader), runner.max_iters)
        training_model(runner).decide(**{self.attribute: value})
        runner.message_hub.update_scalar(f"train/{self.attribute}", value)


@HOOKS.register_module()
class LearningRateScaleHook(Hook):
    """Scale learning rates with the total batch: ``lr = base * sqrt(batch / base_batch_size)`` (official code).

    The base is ``optim_wrapper.optimizer.lr`` of the config; the total batch is that of all processes and accumulated
    steps. Give final values of learning-rate schedules as ratios (``eta_min_ratio``), which scale with it.

    Args:
        base_batch_size: the batch for which the config's rate is meant.
        rule: ``sqrt`` or ``linear``.
    """

    def __init__(self, base_batch_size: int = 1024, rule: str = "sqrt"):
        if rule not in ("sqrt", "linear"):
            raise InputError(f"learning-rate rule {rule!r} is unknown: use 'sqrt' or 'linear'")
        self.base_batch_size, self.rule = base_batch_size, rule

    def before_run(self, runner: Runner) -> None:
        """Scale what optimiser and schedules start from."""
        if runner.param_schedulers is None:
            runner.param_schedulers = []
        wrapper = runner.optim_wrapper
        accumulated = wrapper._accumulative_counts  # mmengine has no public name for it
        per_process = runner.train_dataloader.batch_size
        batch = per_process * get_world_size() * accumulated
        factor = (batch / self.base_batch_size) ** (0.5 if self.rule == "sqrt" else 1.0)
        base = _undecayed_rate(runner)
        self.rate = base * factor
        _multiply_rates(runner, factor)
        runner.logger.info(
            f"learning rate {self.rate:.4g} = {base:.4g} * {self.rule}({batch} / {self.base_batch_size}), batch "
            f"{batch} = {per_process} images x {get_world_size()} processes x {accumulated} accumulated steps"
        )

    def before_train(self, runner: Runner) -> None:
        """A resumed run has loaded the checkpoint's rates: those of this config count, at the same place in time."""
        loaded = _undecayed_rate(runner)
        if not math.isclose(loaded, self.rate, rel_tol=1e-9):
            _multiply_rates(runner, self.rate / loaded)
            runner.logger.info(f"the checkpoint's learning rate {loaded:.4g} is replaced by {self.rate:.4g}")


def _undecayed_rate(runner: Runner) -> float:
    """What the schedules start from, in the group without layer-wise decay."""
    return max(group.get("initial_lr", group["lr"]) for group in runner.optim_wrapper.param_groups)


def _multiply_rates(runner: Runner, factor: float) -> None:
    """Of all groups, now and in the schedules."""
    for group in runner.optim_wrapper.param_groups:
        group.update({key: group[key] * factor for key in ("lr", "initial_lr") if key in group})
    for scheduler in runner.param_schedulers:
        if scheduler.param_name == "lr":
            scheduler.base_values = [value * factor for value in scheduler.base_values]


@HOOKS.register_module()
class FreezeLastLayerHook(Hook):
    """Keep the prototypes, or other layers of the student, as they are during the first epochs (DINO).

    Their gradients are dropped just before the optimiser steps, so they are part of the gradient norm and of the
    exchange between processes as always.

    Args:
        epochs: how many; fractions count.
        names: how the names of the student's parameters begin that are kept.
    """

    def __init__(self, epochs: float = 1, names: str = "head.last_layer"):
        self.epochs, self.names = epochs, names

    def before_train(self, runner: Runner) -> None:
        """Hook into the optimiser; raises InputError if there are no such parameters."""
        named = dict(training_model(runner).student.named_parameters())
        frozen = [parameter for name, parameter in named.items() if name.startswith(self.names)]
        if not frozen:
            raise InputError(
                f"FreezeLastLayerHook: no parameter of the student begins with {self.names!r}, they have names such as "
                f"{list(named)[-1]!r}: set `names`, or leave the hook out"
            )
        until = self.epochs * len(runner.train_dataloader)

        def drop_gradients(*_: Any) -> None:
            if runner.iter < until:
                for parameter in frozen:
                    parameter.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(drop_gradients)
