"""Three steps of several processes, to compare with those of one."""

from pathlib import Path

import pytest
import torch

from tests.pretraining.jobs import Job
from tests.pretraining.runs import logged, weights

BATCH = 16
# What must not differ: KoLeo looks for neighbours on its own process only, drop path and masks are drawn there.
# Masked patches are part of the loss and the learning rate is 1e-3 from the first step on. Adam's epsilon is above the
# rounding of gradients, which Adam else makes as large as the gradients where these are almost zero.
COMPARABLE = (
    "param_scheduler=None",
    "optim_wrapper.optimizer.lr=8e-3",
    "optim_wrapper.optimizer.eps=1e-6",
    "model.loss_weights.koleo=0",
    "model.backbone.drop_path_rate=0",
    "default_hooks.patch_weight.begin=0",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.checkpoint.max_keep_ckpts=-1",
    "train_dataloader.collate_fn.mask_groups=1",
    "train_cfg.max_iters=3",
    "train_dataloader.num_workers=1",
)
TERMS = ("loss", "intact_local", "intact_patch", "elastic_global", "elastic_patch", "elastic_same_global", "grad_norm")


def one_process(work_dir: Path, *options: str) -> Path:
    Job(work_dir, *COMPARABLE, f"train_dataloader.batch_size={BATCH}", *options).finish()
    return work_dir


def share(ranks: int) -> tuple[str, ...]:
    """The options of one of several processes."""
    return (*COMPARABLE, f"train_dataloader.batch_size={BATCH // ranks}")


def assert_same_steps(found: Path, expected: Path, tolerance: float = 1e-5, terms: tuple[str, ...] = TERMS) -> None:
    """Losses and gradient norms of three steps, and the weights after them."""
    single, several = (logged(work_dir, *terms) for work_dir in (expected, found))
    assert len(single) == 3 and None not in single[3]
    for step, values in single.items():
        assert several[step] == pytest.approx(values, rel=tolerance)
    one, many, before = (weights(path / f"iter_{i}.pth") for path, i in ((expected, 3), (found, 3), (expected, 1)))
    for name in one:
        torch.testing.assert_close(many[name], one[name], rtol=tolerance, atol=tolerance, msg=name)
    # the weights have gone a hundred times further than the tolerance
    moved = [(one[name] - before[name]).abs().max() for name in one if name.startswith("student.")]
    assert torch.stack(moved).median() > 1e-3
