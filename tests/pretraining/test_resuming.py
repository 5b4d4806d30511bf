"""Runs that stop anywhere and go on: bit for bit the run that never stopped, and always a whole checkpoint.

The runs have two workers that read ahead, a file of weights after every iteration, and drop path.
"""

import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.pretraining.jobs import Job
from tests.pretraining.runs import MIM, TINY, command, kill_after, logged, run, train_here, weights

TERMS = ("loss", "intact_global", "elastic_local", "grad_norm", "lr", "weight_decay", "elastic_width")
WORKERS = "train_dataloader.num_workers=2"
EVERY = "default_hooks.checkpoint.interval=1"
KEEP = "default_hooks.checkpoint.max_keep_ckpts=-1"
# everything at once: two processes, the moments divided among them, a size for each, the mean of the teacher's logits
TWO_RANKS = (
    "train_dataloader.batch_size=4",
    "optim_wrapper.optimizer.type=poa_bench.ShardedAdamW",
    "default_hooks.subnet.mode=rank",
    "model.targets.type=poa_bench.CenteredTargets",
)
KILLS = 20
ITERATIONS = 120


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Ten iterations without interruption; every checkpoint is kept."""
    work_dir = tmp_path_factory.mktemp("straight") / "run"
    Job(work_dir, EVERY, KEEP, WORKERS).finish()
    return work_dir


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_killed_run_resumed_by_mim_equals_the_straight_one(straight, tmp_path):
    kill_after(command(tmp_path), tmp_path / "iter_5.pth")
    assert not (tmp_path / "iter_10.pth").exists()
    line = [MIM, "train", "poa_bench", "poa_vit-digits.py", "--work-dir", str(tmp_path), "--resume", "auto"]
    done = run([*line, "--cfg-options", *TINY])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed epoch: 0, iter: 5" in done.stdout + done.stderr
    assert logged(tmp_path, *TERMS) == logged(straight, *TERMS)
    assert_same_weights(tmp_path / "iter_10.pth", straight / "iter_10.pth")


@pytest.mark.parametrize("iteration", [1, 4, 9, *(pytest.param(i, marks=pytest.mark.slow) for i in (2, 3, 5, 6, 7, 8))])
def test_run_goes_on_from_any_iteration(straight, tmp_path, iteration):
    checkpoint = straight / f"iter_{iteration}.pth"
    Job(tmp_path / "run", WORKERS, resume=str(checkpoint)).finish()
    expected = {step: values for step, values in logged(straight, *TERMS).items() if step > iteration}
    assert logged(tmp_path / "run", *TERMS) == expected
    assert_same_weights(tmp_path / "run" / "iter_10.pth", straight / "iter_10.pth")


def test_copied_run_goes_on_from_its_own_newest_whole_checkpoint(straight, tmp_path):
    """`last_checkpoint` of the copy holds the path of the original, where that checkpoint is whole."""
    copy = tmp_path / "copy"
    shutil.copytree(straight, copy, ignore=shutil.ignore_patterns("2*", *(f"iter_{i}.pth" for i in (7, 8, 9, 10))))
    (copy / "last_checkpoint").write_text(str(straight / "iter_6.pth"))
    os.truncate(copy / "iter_6.pth", 100_000)
    Job(copy, WORKERS, resume="auto").finish()
    log = next(copy.glob("*/*.log")).read_text()
    assert f"{copy}/iter_6.pth is cut short or damaged; going on from {copy}/iter_5.pth" in log
    assert f"Load checkpoint from {copy}/iter_5.pth" in log
    assert logged(copy, *TERMS) == {step: values for step, values in logged(straight, *TERMS).items() if step > 5}
    assert_same_weights(copy / "iter_10.pth", straight / "iter_10.pth")


def test_resumed_run_tells_its_own_speed(straight, tmp_path):
    """Its log takes the mean over none of the iterations before the interruption."""
    checkpoint = str(straight / "iter_4.pth")
    runner = train_here(tmp_path, change=lambda config: config.update(resume=True, load_from=checkpoint))
    scalars = runner.message_hub.log_scalars
    lengths = {name: len(scalars[f"train/{name}"].data[0]) for name in ("time", "data_time", "loss")}
    assert lengths == {"time": 6, "data_time": 6, "loss": 10}


def test_no_checkpoint_falls_between_accumulated_steps(tmp_path):
    """Gradients are not part of a checkpoint, so it waits for the optimiser's step."""
    options = ("optim_wrapper.accumulative_counts=2", "default_hooks.checkpoint.interval=3", KEEP)
    Job(tmp_path / "run", *options).finish()
    found = sorted(int(path.stem.removeprefix("iter_")) for path in (tmp_path / "run").glob("iter_*.pth"))
    assert found == [4, 8, 10]
    Job(tmp_path / "again", *options, resume=str(tmp_path / "run" / "iter_4.pth")).finish()
    assert_same_weights(tmp_path / "again" / "iter_10.pth", tmp_path / "run" / "iter_10.pth")


def last_iteration(work_dir: Path) -> int:
    """Of the checkpoint that a resumed run starts from; 0 without one."""
    last = work_dir / "last_checkpoint"
    return int(Path(last.read_text()).stem.removeprefix("iter_")) if last.exists() else 0


def kill_at_random(work_dir: Path, job: Job, generator: random.Random, torn: bool) -> None:
    """SIGKILL during start-up or a few iterations later; torn: while a checkpoint is being written."""
    wanted = last_iteration(work_dir) + generator.randint(0, 3)
    job.wait_for(lambda: last_iteration(work_dir) >= wanted)
    if torn:
        job.wait_for(lambda: list(work_dir.glob(".iter_*.pth.*.tmp")))
        job.kill()
    else:
        job.wait_for(lambda: generator.random() < 0.03)  # one look in 33: about 70 ms, an iteration or two
        job.kill(generator.randrange(len(job.processes)), generator.uniform(0, 0.05))


def assert_checkpoints_are_whole(work_dir: Path) -> None:
    if iteration := last_iteration(work_dir):
        assert (work_dir / f"iter_{iteration}.pth").is_file()
    for path in work_dir.glob("iter_*.pth"):
        assert all(tensor.isfinite().all() for tensor in weights(path).values())


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_twenty_kills_change_nothing(tmp_path, ranks):
    options = (f"train_cfg.max_iters={ITERATIONS}", EVERY, WORKERS, *(TWO_RANKS if ranks == 2 else ()))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    Job(whole, *options, ranks=ranks).finish()
    generator, places, torn = random.Random(ranks), [], 0
    for kill in range(KILLS):
        job = Job(killed, *options, ranks=ranks, resume="auto")
        kill_at_random(killed, job, generator, torn=kill % 4 == 0)
        places.append(last_iteration(killed))
        torn += len(list(killed.glob(".*.tmp")))
        assert_checkpoints_are_whole(killed)
    print(f"killed after iterations {places}; {torn} times in the middle of a write")
    assert torn and len(set(places)) > KILLS / 2
    Job(killed, *options, ranks=ranks, resume="auto").finish()
    assert logged(killed, *TERMS) == logged(whole, *TERMS)
    assert_same_weights(killed / f"iter_{ITERATIONS}.pth", whole / f"iter_{ITERATIONS}.pth")
    assert not list(killed.glob(".*.tmp"))
