"""`WarmupCosineLR`: the learning-rate schedule of fine-tuning, which follows the length of the run."""

import math
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from poa_bench.errors import InputError
from poa_bench.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up from 0 over a share of the run, then half a cosine (BEiT, iBOT, POA); step by step.

    Two stock schedulers would need the number of epochs in three places. This one has it from the run: with
    `by_epoch=False` mmengine gives it the run's last iteration as `end`. Groups keep their ratios (layer-wise decay) to
    the end: an absolute final rate would let the first layers' rise.

    Args:
        optimizer: what is scheduled.
        warmup: share of the run.
        eta_min: final rate of the groups with the highest rate; the others end in proportion.
        begin, end: iterations of the schedule; a run that ends before `end` stops on the way.
        options: of mmengine's schedulers.

    Raises:
        InputError: `warmup` outside [0, 1), or units that are not iterations.
    """

    def __init__(
        self,
        optimizer: Any,
        warmup: float = 0.1,
        eta_min: float = 1e-6,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = False,
        **options: Any,
    ) -> None:
        if not 0 <= warmup < 1:
            raise InputError(f"warmup is {warmup}: it is a share of the run and must lie in [0, 1)")
        if by_epoch:
            raise InputError("WarmupCosineLR counts iterations: write by_epoch=False")
        self.warmup_steps = round(warmup * (end - begin))
        self.cosine_steps = end - begin - self.warmup_steps
        self.eta_min = eta_min
        super().__init__(optimizer, begin=begin, end=end, by_epoch=False, **options)

    def _get_value(self) -> list[float]:
        """Learning rate of every group at `last_step`."""
        if self.last_step < self.warmup_steps:
            share = self.last_step / max(self.warmup_steps - 1, 1)
        else:
            final = self.eta_min / max(self.base_values)
            progress = (self.last_step - self.warmup_steps) / self.cosine_steps
            share = final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
        return [share * value for value in self.base_values]
