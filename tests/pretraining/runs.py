"""Short real training runs on the embedded digits, in this process or in new ones."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import torch

from poa_bench.launch import build_runner, read_config
from tests.conftest import REPOSITORY

_RUNS = itertools.count()
CONFIG = REPOSITORY / "pretrain" / "poa_vit-digits.py"
MIM = str(Path(sys.executable).with_name("mim"))
TINY = [
    "train_dataloader.dataset.indices=64",
    "train_dataloader.batch_size=8",
    "train_cfg.max_iters=10",
    "model.backbone.space.widths=[32,48]",
    "model.backbone.space.depths=[2,3]",
    "model.backbone.drop_path_rate=0.2",
    "model.backbone.init_values=0.1",
    "model.head.prototypes=[64,128]",
    "default_hooks.logger.interval=1",
    "default_hooks.checkpoint.interval=5",
    "default_hooks.patch_weight.begin=0.5",
    "param_scheduler.0.end=0.25",
    "param_scheduler.1.begin=0.25",
]


def arguments(work_dir: Path, *options: str, config: Path = CONFIG, launcher: str = "none") -> Namespace:
    """The arguments of ``tools/train.py``."""
    return Namespace(config=str(config), work_dir=str(work_dir), cfg_options=[*TINY, *options], launcher=launcher)


def train_here(work_dir: Path, *options: str, hooks=(), change=lambda config: None):
    """Train in this process, on one thread, after a change of the config; returns the Runner."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = read_config(arguments(work_dir, *options))
        config.experiment_name = f"run_{next(_RUNS)}"  # by default the second of the start: two may share a visualizer
        change(config)
        runner = build_runner(config)
        for hook, priority in hooks:
            runner.register_hook(hook, priority)
        runner.train()
    finally:
        torch.set_num_threads(threads)
    return runner


def command(work_dir: Path, *options: str, extra: tuple[str, ...] = (), launch: tuple[str, ...] = ()) -> list[str]:
    """The command line of a run in a new process."""
    script = [str(REPOSITORY / "tools" / "train.py"), str(CONFIG), "--work-dir", str(work_dir), *extra]
    return [sys.executable, *launch, *script, "--cfg-options", *TINY, *options]


def environment() -> dict[str, str]:
    """One thread, no GPU: the same arithmetic everywhere."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(line: list[str], **options) -> subprocess.CompletedProcess:
    """Run to the end and return it with its output."""
    return subprocess.run(line, env=environment(), cwd=REPOSITORY, capture_output=True, text=True, **options)


def kill_after(line: list[str], checkpoint: Path, seconds: float = 900) -> None:
    """Start a run and SIGKILL it as soon as it has named this checkpoint in ``last_checkpoint``."""
    last = checkpoint.parent / "last_checkpoint"
    with subprocess.Popen(line, env=environment(), cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + seconds
        while not (last.is_file() and last.read_text() == str(checkpoint)):
            assert process.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < end, f"{checkpoint} was not written in {seconds} s"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)


def logged(work_dir: Path, *names: str) -> dict[int, tuple[float, ...]]:
    """Iteration -> scalars, from the lines of all logs that have them (later ones win, half lines do not)."""
    rows = {}
    for file in sorted(work_dir.glob("*/vis_data/scalars.json"), key=lambda path: path.stat().st_mtime):
        whole, _, _ = file.read_text().rpartition("\n")
        for line in map(json.loads, whole.splitlines()):
            if names[0] in line:
                rows[line["step"]] = tuple(line.get(name) for name in names)
    return rows


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The model's tensors in a checkpoint."""
    from poa_bench.elastic.training_checkpoint import read_training_checkpoint

    return read_training_checkpoint(checkpoint)["state_dict"]
