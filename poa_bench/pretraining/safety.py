"""What keeps a long run safe: whole checkpoints only, and a stop with a reason when a number is not finite."""

import json
import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch.distributed.optim import ZeroRedundancyOptimizer

from poa_bench.elastic.preprocessing import Preprocessing, differing
from poa_bench.errors import InputError, StoppedError
from poa_bench.files import atomic_path, remove_leftovers
from poa_bench.pretraining.schedules import training_model
from poa_bench.registry import HOOKS


class AtomicBackend(LocalBackend):
    """mmengine's local files, written under a temporary name, flushed to the disk, then renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes: the file is whole or not there."""
        with atomic_path(filepath) as temporary, open(temporary, "wb") as stream:
            stream.write(obj)
            stream.flush()
            os.fsync(stream.fileno())

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text: the file is whole or not there."""
        self.put(obj.encode(encoding), filepath)


register_backend("atomic", AtomicBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` that survives a kill at any moment.

    Checkpoint and ``last_checkpoint`` are replaced as a whole, and old checkpoints are removed only after the new one
    is named in ``last_checkpoint`` (mmengine removes them before).

    Args:
        options: those of ``CheckpointHook``.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{**options, "backend_args": {"backend": "atomic"}})

    def before_train(self, runner: Runner) -> None:
        """As always; take the best checkpoint from this folder; and remove what an interrupted write has left."""
        super().before_train(runner)
        self._own_checkpoints(runner)
        if dist.is_main_process():
            for name in ("*.pth", "last_checkpoint"):
                remove_leftovers(self.out_dir, name)

    def _own_checkpoints(self, runner: Runner) -> None:
        """A run that goes on in a copy of its folder knows the original's paths, and would remove its best file."""
        for name, path in list(runner.message_hub.runtime_info.items()):
            if name.startswith(("last_ckpt", "best_ckpt")) and path:
                runner.message_hub.update_info(name, self._here(path))
        if self.save_best is not None and len(self.key_indicators) == 1:  # mmengine has a name for one, a dict for more
            self.best_ckpt_path = self._here(self.best_ckpt_path)
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {name: self._here(path) for name, path in self.best_ckpt_path_dict.items()}

    def _here(self, path: str | None) -> str | None:
        return path and os.path.join(self.out_dir, os.path.basename(path))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        # the best one of a validation is saved again, to know that it is the best
        kept = [*(one for one in getattr(self, "keep_ckpt_ids", []) if one != step), step]
        surplus = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = kept[-self.max_keep_ckpts :]
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        if dist.is_main_process():
            self.file_backend.put_text(self.last_ckpt, os.path.join(runner.work_dir, "last_checkpoint"))
            for old in surplus:
                Path(self.out_dir, self.filename_tmpl.format(old)).unlink(missing_ok=True)


@HOOKS.register_module()
class PretrainCheckpointHook(SafeCheckpointHook):
    """A ``SafeCheckpointHook`` for pre-training.

    ``meta.poa_bench`` says how to build the supernet again and how its pictures were normalised and cropped,
    ``meta.objective`` which branches there are and which one is evaluated, ``meta.images_per_iteration`` the batch; a
    run with other ones is not resumed. Sharded optimiser states are gathered
    first. Where gradients are accumulated, the interval is rounded up to a whole number of optimiser steps: gradients
    are not part of a checkpoint.

    Args:
        options: those of ``CheckpointHook``.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{"by_epoch": False, **options})

    def before_run(self, runner: Runner) -> None:
        """Tell the networks what they are fed with, before any other hook asks."""
        super().before_run(runner)
        model = training_model(runner)
        describe = getattr(model.data_preprocessor, "describe", lambda *_: None)
        found = describe(_transforms(runner.train_dataloader.dataset), model.supernet.image_size)
        if found is None:
            runner.logger.warning(
                "checkpoints will not say how pictures are preprocessed, and evaluation configs have to: use "
                "poa_bench.MultiCropPreprocessor, and a transform with the size of the crops as its `global_size`"
            )
        for branch in model.branches:
            model.get_submodule(branch).backbone.preprocessing = found

    def before_train(self, runner: Runner) -> None:
        """As always; and round the interval."""
        super().before_train(runner)
        accumulated = runner.optim_wrapper._accumulative_counts  # mmengine has no public name for it
        if self.interval > 0 and not self.by_epoch and self.interval % accumulated:
            self.interval += accumulated - self.interval % accumulated
            runner.logger.info(f"checkpoints every {self.interval} iterations: {accumulated} make one optimiser step")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Describe supernet and objective in the checkpoint."""
        objective = training_model(runner)
        checkpoint["meta"]["poa_bench"] = objective.supernet.describe()
        checkpoint["meta"]["objective"] = objective.describe()
        checkpoint["meta"]["images_per_iteration"] = images_per_iteration(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with another batch, other inputs or another objective.

        Raises:
            InputError: the run that is resumed had another objective or batch, or preprocessed its pictures in another
                way.
        """
        if runner._resume:
            _refuse_other_inputs(runner, checkpoint)
            _refuse_other_objective(runner, checkpoint)
        now = images_per_iteration(runner) if runner._resume else None  # mmengine has no public name for it
        before = checkpoint["meta"].get("images_per_iteration", now)
        if before != now and runner._resume:
            raise InputError(
                f"the run to resume had {before} images in each iteration, this one has {now} = "
                f"{runner.train_dataloader.batch_size} x {dist.get_world_size()} processes, but schedules and the "
                "order of the data count iterations: choose train_dataloader.batch_size and the number of processes "
                "so that they agree, or start a new run from its weights with --cfg-options load_from=CHECKPOINT"
            )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        if isinstance(runner.optim_wrapper.optimizer, ZeroRedundancyOptimizer):
            runner.optim_wrapper.optimizer.consolidate_state_dict()  # all processes take part
        super()._save_checkpoint_with_step(runner, step, meta)


def _transforms(dataset: Any) -> list[Any]:
    """Those of a data set, also inside mmengine's wrappers (RepeatDataset, ConcatDataset, ...)."""
    while not hasattr(dataset, "pipeline"):
        dataset = dataset.datasets[0] if hasattr(dataset, "datasets") else dataset.dataset
    return dataset.pipeline.transforms


def _refuse_other_inputs(runner: Runner, checkpoint: dict[str, Any]) -> None:
    ours = training_model(runner).supernet.preprocessing
    theirs = Preprocessing.from_dict(checkpoint["meta"].get("poa_bench", {}).get("preprocessing"))
    if ours and theirs and (other := differing({**ours.to_dict(), "crop_share": None}, theirs.to_dict())):
        raise InputError(
            f"the run to resume preprocessed its pictures in another way: now {other}; set the config as it was, or "
            "start a new run from its weights with --cfg-options load_from=CHECKPOINT"
        )


def _refuse_other_objective(runner: Runner, checkpoint: dict[str, Any]) -> None:
    ours = training_model(runner).describe()
    theirs = checkpoint["meta"].get("objective", ours)  # older checkpoints do not say it
    if other := differing(ours, theirs):
        raise InputError(
            f"the run to resume had another objective: now {other}; set the config as it was, or start a new run from "
            "its weights with --cfg-options load_from=CHECKPOINT"
        )


def images_per_iteration(runner: Runner) -> int:
    """The images of all processes; accumulated iterations count one by one."""
    return runner.train_dataloader.batch_size * dist.get_world_size()


class NonFiniteError(StoppedError):
    """Training met a NaN or an infinity and was stopped."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stop at the first loss term or gradient norm that is not finite, before anything is saved.

    The message names the terms, the iteration, the batch's files and the last good checkpoint; the same goes to
    ``not_finite_rank{r}_iter{i}.json`` in the work directory. All processes stop together. With fp16 loss scaling an
    infinite gradient norm is normal and ignored.
    """

    priority = "HIGH"  # before the teacher, logs and checkpoints

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check this step.

        Raises:
            NonFiniteError: in every process, if one of them found something.
        """
        found = _not_finite(outputs or {})
        if not _norm_is_finite(runner):
            found.append("grad_norm")
        flag = torch.tensor(float(bool(found)), device=next(runner.model.parameters()).device)
        dist.all_reduce(flag, "max")
        if flag:
            raise NonFiniteError(self._explain(runner, found, data_batch))

    def _explain(self, runner: Runner, found: list[str], data_batch: Any) -> str:
        if not found:
            return f"another process met a number that is not finite at iteration {runner.iter}: see its message"
        names = list(map(str, (data_batch or {}).get("data_samples", {}).get("name", [])))
        last = runner.message_hub.runtime_info.get("last_ckpt")
        file = Path(runner.work_dir, f"not_finite_rank{dist.get_rank()}_iter{runner.iter}.json")
        facts = {"terms": found, "iteration": runner.iter, "images": names, "last_good_checkpoint": last}
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(facts, indent=1))
        shown = ", ".join(map(str, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return (
            f"{', '.join(found)} not finite at iteration {runner.iter}; images of this batch: {shown} (all in {file}); "
            f"last good checkpoint: {last or 'none yet'}: resume from it with a lower learning rate or float32"
        )


def _norm_is_finite(runner: Runner) -> bool:
    """Whether this step's gradient norm is, if it has one: not while accumulating, when the last one is an old one."""
    norms = runner.message_hub.log_scalars.get("train/grad_norm")
    if norms is None or hasattr(runner.optim_wrapper, "loss_scaler") or not runner.optim_wrapper.should_update():
        return True
    return isfinite(norms.current())


def _not_finite(outputs: Mapping[str, Any]) -> list[str]:
    """Names of the terms that are not finite; of the total only if it is the only one."""
    if not outputs:
        return []
    # asked together: each question makes the CPU wait for the device
    finite = torch.stack([torch.as_tensor(value).isfinite().all() for value in outputs.values()]).tolist()
    found = [name for name, good in zip(outputs, finite, strict=True) if not good]
    return [name for name in found if name != "loss"] or found
