"""What a pre-training has cost so far, in its checkpoints: pictures, operations, hours, and those of its teacher."""

import time
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_bench.pretraining.safety import images_per_iteration
from poa_bench.pretraining.schedules import training_model
from poa_bench.registry import HOOKS


@HOOKS.register_module()
class ComputeHook(Hook):
    """Writes ``meta.compute``; a resumed run goes on counting.

    It holds ``images`` (seen, of all processes), ``flop`` (predicted operations of these images, useful ones only),
    ``gpu_hours`` (wall clock times GPUs) or, without a GPU, ``core_hours`` (processor time; that of processes which
    load pictures apart), and ``teacher``, the same of a frozen teacher where its file says it.

    Args:
        operations_per_image: of one picture in one step, see `cost.operations`; None: not known.
    """

    def __init__(self, operations_per_image: float | None = None):
        self.operations = operations_per_image
        self.before: dict[str, Any] = {}
        self._start = 0.0

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """What the run that goes on has cost."""
        if runner._resume:  # mmengine has no public name for it
            self.before = checkpoint["meta"].get("compute", {})

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._start = self._clock()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Say it."""
        images = checkpoint["meta"]["iter"] * images_per_iteration(runner)
        unit = "gpu_hours" if torch.cuda.is_available() else "core_hours"
        hours = (self._clock() - self._start) * dist.get_world_size() / 3600
        found = {"images": images, unit: hours + self.before.get(unit, 0.0)}
        if self.operations is not None:
            found["flop"] = self.operations * images
        if (teacher := training_model(runner).teacher_compute()) is not None:
            found["teacher"] = teacher
        checkpoint["meta"]["compute"] = {**self.before, **found}

    @staticmethod
    def _clock() -> float:
        """Seconds: of the wall on a GPU, which is held all the time; else of the processors of this process."""
        return time.perf_counter() if torch.cuda.is_available() else time.process_time()
