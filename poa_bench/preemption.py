"""Clusters send SIGTERM before they take a machine away: a training saves what it has and stops."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from poa_bench.errors import StoppedError
from poa_bench.registry import HOOKS
from poa_bench.signals import on_sigterm

_ASK_EVERY = 10  # iterations, of several processes: each question makes them wait for each other


@HOOKS.register_module()
class PreemptionHook(Hook):
    """After SIGTERM the running step of the optimiser is ended, a checkpoint written, and the process stops.

    The same command with ``--resume`` goes on from there. All processes stop together, at most ten iterations later. A
    training that counts epochs saves nothing within one: it goes on from the last whole one.
    """

    priority = "LOWEST"  # after everything that belongs to the step

    def __init__(self) -> None:
        self._told = False
        self._listening = ExitStack()

    def before_train(self, runner: Runner) -> None:
        """Listen."""
        self._listening.enter_context(on_sigterm(self._hear))

    def after_train(self, runner: Runner) -> None:
        """Listen no longer."""
        self._listening.close()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save and stop, if somebody has been told to.

        Raises:
            StoppedError: in every process.
        """
        if not runner.optim_wrapper.should_update() or not self._anybody_told(runner):  # gradients are not saved
            return
        saver = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
        if saver.by_epoch:
            saved = f"epochs are saved whole, {saver.out_dir} has the last one"
        else:
            path = Path(saver.out_dir, saver.filename_tmpl.format(runner.iter + 1))
            if not path.is_file():  # else the step has just been saved
                saver._save_checkpoint(runner)
            saved = f"{path} is saved"
        raise StoppedError(
            f"stopped by SIGTERM after iteration {runner.iter + 1}; {saved}: the same command with --resume goes on"
        )

    def _hear(self) -> None:
        self._told = True

    def _anybody_told(self, runner: Runner) -> bool:
        if dist.get_world_size() == 1:
            return self._told
        if (runner.iter + 1) % _ASK_EVERY:
            return False
        flag = torch.tensor(float(self._told), device=next(runner.model.parameters()).device)
        dist.all_reduce(flag, "max")
        return bool(flag)
