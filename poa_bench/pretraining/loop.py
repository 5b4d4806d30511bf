"""A training loop that counts iterations and is told epochs."""

import math
from typing import Any

from mmengine.runner import IterBasedTrainLoop

from poa_bench.errors import InputError
from poa_bench.registry import LOOPS


@LOOPS.register_module()
class PretrainLoop(IterBasedTrainLoop):
    """``IterBasedTrainLoop`` for ``max_epochs`` passes over the data (or ``max_iters``, if given).

    Counting iterations makes it possible to stop and resume anywhere, without reading data again. Parameter schedules
    without an end go to the run's; with ``cut`` they would be longer, see `set_cut_lengths`.

    Args:
        runner: the Runner.
        dataloader: the training data loader or its config.
        max_epochs: passes over the data; an epoch has ``len(dataloader)`` iterations.
        max_iters: overrides ``max_epochs``.
        options: those of ``IterBasedTrainLoop``.

    Raises:
        InputError: there is no full batch; a parameter schedule has no iteration of its own, or begins after the run's
            end.
    """

    def __init__(
        self, runner: Any, dataloader: Any, max_epochs: float = 1, max_iters: int | None = None, **options: Any
    ):
        super().__init__(runner, dataloader, max_iters=max_iters or 1, **options)
        epoch_length = len(self.dataloader)
        if epoch_length == 0:
            pictures, size = len(self.dataloader.dataset), self.dataloader.batch_size
            raise InputError(
                f"{pictures} pictures make no batch of {size} for each process: "
                "set train_dataloader.batch_size to fewer, or use fewer processes"
            )
        self._max_iters = max_iters or round(max_epochs * epoch_length)
        self._max_epochs = self._max_iters / epoch_length  # what schedules by epoch end at
        schedules = [schedule for schedule in runner.param_schedulers or [] if isinstance(schedule, dict)]
        set_cut_lengths(schedules, self._max_epochs)
        _check_schedules(schedules, epoch_length, self._max_iters)


def set_cut_lengths(schedules: list[dict[str, Any]], max_epochs: float) -> None:
    """Replace ``cut`` by ``T_max``: a schedule by epochs of which the run sees this share (official `iter_num_scale`).

    Args:
        schedules: configs of parameter schedulers, changed in place.
        max_epochs: of the run.
    """
    for schedule in schedules:
        if cut := schedule.pop("cut", None):
            schedule["T_max"] = max_epochs / cut - schedule.get("begin", 0)


def _check_schedules(schedules: list[dict[str, Any]], epoch_length: int, max_iters: int) -> None:
    """Refuse a schedule that has no iteration of its own or begins after the run's end: mmengine names none."""
    for place, schedule in enumerate(schedules):
        unit = epoch_length if schedule.get("by_epoch", True) else 1
        begin, end = schedule.get("begin", 0) * unit, schedule.get("end", math.inf) * unit
        if end < math.inf and int(end) <= int(begin):  # mmengine rounds down
            raise InputError(
                f"param_scheduler.{place} ({schedule['type']}) lasts less than an iteration ({begin:g} to {end:g}): "
                f"let it end later with --cfg-options param_scheduler.{place}.end=..., and what follows it begin there"
            )
        if begin >= max_iters:
            raise InputError(
                f"param_scheduler.{place} ({schedule['type']}) begins at iteration {begin:g}, but the run has "
                f"{max_iters}: train longer, or let it begin (and what comes before it end) earlier with --cfg-options "
                f"param_scheduler.{place}.begin=..."
            )
