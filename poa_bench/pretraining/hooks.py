"""What happens around a step: the size that is drawn, the random numbers, the teacher, and what is logged of it."""

import hashlib
import re
from collections.abc import Iterable
from statistics import fmean
from typing import Any, Literal

import torch
from mmengine import dist
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.runner import LogProcessor, Runner

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.elastic.space import check_draw_mode
from poa_bench.log_names import current_name
from poa_bench.pretraining.safety import images_per_iteration
from poa_bench.pretraining.schedules import training_model
from poa_bench.registry import HOOKS
from poa_bench.runs.provenance import peak_memory_bytes


@HOOKS.register_module()
class SubnetHook(Hook):
    """Draw the elastic students of every step, as a function of (seed, iteration, rank).

    A sampler of another kind is a subclass that draws in its own way.

    Args:
        mode: ``step``: one size for all processes; ``rank``: each its own, as the official code does (about as many
            sizes per step as GPUs).
    """

    def __init__(self, mode: Literal["step", "rank"] = "step"):
        check_draw_mode(mode)
        self.mode = mode

    def draw(self, runner: Runner, space: SearchSpace, count: int) -> tuple[SubnetSpec, ...]:
        """The sizes of this iteration, as many as the objective needs."""
        chosen = (runner.seed, runner.iter, dist.get_rank(), self.mode)
        return tuple(space.draw(*chosen, place) for place in range(count))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Decide the sizes; log width and depth of each elastic stage, of several sizes their means."""
        objective = training_model(runner)
        sizes = self.draw(runner, objective.supernet.space, objective.drawn)
        objective.decide(sizes=sizes)
        if not sizes:
            return
        runner.message_hub.update_scalar("train/elastic_width", fmean(size.width for size in sizes))
        for stage, depths in enumerate(zip(*(size.depths for size in sizes), strict=True), 1):
            name = f"elastic_depth{stage}" if len(sizes[0].depths) > 1 else "elastic_depth"
            runner.message_hub.update_scalar(f"train/{name}", fmean(depths))


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed torch before every step with a function of (seed, iteration, rank): drop path repeats after a resume."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed all devices' generators."""
        key = f"{runner.seed}/{runner.iter}/{dist.get_rank()}".encode()
        torch.manual_seed(int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True))


@HOOKS.register_module()
class TeacherHook(Hook):
    """Tell the objective of every step of the optimiser: a teacher that is a moving average follows its student."""

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Unless gradients are still being accumulated."""
        if runner.optim_wrapper.should_update():
            training_model(runner).after_update()


@HOOKS.register_module()
class AveragedRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook that hands losses to the log, after averaging them over all processes.

    They leave the device together: each alone would make the CPU wait. A line of the log has the mean of each over the
    log's window, whatever the objective calls them.
    """

    def before_train(self, runner: Runner) -> None:
        """As always; what an older checkpoint has logged goes on under the names of today."""
        super().before_train(runner)
        scalars = runner.message_hub.log_scalars
        for name in [name for name in scalars if name != current_name(name)]:
            scalars[current_name(name)] = scalars.pop(name)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One exchange of a short vector."""
        if outputs:
            values = torch.stack([value.detach().float() for value in outputs.values()])
            dist.all_reduce(values, "mean")
            outputs = dict(zip(outputs, values.tolist(), strict=True))
            self._log_means(runner.log_processor, outputs)
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def _log_means(self, log: LogProcessor, names: Iterable[str]) -> None:
        if left := [name for name in names if not log.mean_pattern.search(name)]:
            log.mean_pattern = re.compile(
                "|".join([log.mean_pattern.pattern, *(f"^{re.escape(name)}$" for name in left)])
            )


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Log what mmengine does not: images per second over all processes, hours left, weight decay, memory on a CPU.

    mmengine shows the time left in the text log only, and memory (as MiB, like here) only of GPUs.
    """

    def before_train(self, runner: Runner) -> None:
        """A resumed run forgets how fast the interrupted one was: it may be on another machine."""
        for name in ("train/time", "train/data_time"):
            runner.message_hub.log_scalars.pop(name, None)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """From mmengine's own timing of the iterations that the log takes the mean of."""
        seconds = runner.message_hub.get_scalar("train/time").mean(runner.log_processor.window_size)
        runner.message_hub.update_scalar("train/images_per_second", images_per_iteration(runner) / seconds)
        decay = max(group["weight_decay"] for group in runner.optim_wrapper.param_groups)
        runner.message_hub.update_scalar("train/weight_decay", decay)
        runner.message_hub.update_scalar("train/hours_left", runner.message_hub.get_info("eta") / 3600)
        if not torch.cuda.is_available():
            runner.message_hub.update_scalar("train/memory", peak_memory_bytes() / 2**20)
