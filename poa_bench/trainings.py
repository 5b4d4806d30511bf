"""Pre-trainings in processes of their own, for commands that need several: what is finished is not repeated."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from poa_bench.config_files import config_root, find_config
from poa_bench.elastic.training_checkpoint import pretraining_seed
from poa_bench.errors import InputError
from poa_bench.files import atomic_path
from poa_bench.resuming import LAST, is_whole, newest_whole
from poa_bench.signals import end_with_parent

LOG_LINES = 30  # of a failed pre-training's log that are shown
_FINISHED = "finished"  # holds the name of the last checkpoint
# threads that sleep while they wait: on a busy machine spinning ones make a step many times slower
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def finished_checkpoint(work_dir: Path) -> Path | None:
    """The last checkpoint of a training that has ended there; None where there is none, or it is not whole."""
    mark = work_dir / _FINISHED
    if mark.is_file() and (checkpoint := work_dir / mark.read_text()).is_file() and is_whole(checkpoint):
        return checkpoint
    return None


def make_startable(work_dir: Path, seed: int) -> str | None:
    """See to it that a training can begin or go on in a folder; what was lost there is put aside, nothing is removed.

    Returns:
        A sentence, where a training's checkpoints are gone or broken: it begins anew.

    Raises:
        InputError: the folder holds a training with another seed.
    """
    try:
        newest, _ = newest_whole(work_dir, work_dir / LAST)
    except InputError as lost:
        names = (work_dir.with_name(f"{work_dir.name}-lost{number}") for number in count(1))
        aside = next(path for path in names if not path.exists())
        work_dir.rename(aside)
        said = str(lost).split(": name one")[0]
        return f"{said}; what is left is in {aside}, and the training begins anew"
    found = None if newest is None else pretraining_seed(newest)
    if found not in (None, seed):
        raise InputError(
            f"{work_dir} holds a training with seed {found}, not {seed}: choose another --out, or that seed"
        )
    return None


def training_command(config: str, work_dir: Path, options: Sequence[str], launch: Sequence[str] = ()) -> list[str]:
    """What trains a config, or goes on with it.

    Args:
        config: its name or path.
        work_dir: of the training.
        options: of `--cfg-options`.
        launch: what starts the processes of a training, such as `torchrun --nproc_per_node=8`; one process by default.
    """
    command = [*(launch or [sys.executable]), str(config_root() / "tools" / "train.py"), str(find_config(config))]
    command += ["--launcher", "pytorch"] if launch else []
    return [*command, "--work-dir", str(work_dir), "--resume", "auto", "--cfg-options", *options]


def run_training(
    command: Sequence[str],
    work_dir: Path,
    log: Path,
    follow: Callable[[subprocess.Popen], object] = subprocess.Popen.wait,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Train to the end; returns the last checkpoint.

    Args:
        command: of `training_command`.
        work_dir: the same.
        log: where the training's words go.
        follow: called with the process; the training ends with it.
        environment: variables beside those of this process.

    Raises:
        InputError: the training failed; the end of its log is shown.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as stream:
        variables = {**_ENVIRONMENT, **os.environ, **(environment or {})}
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=variables, preexec_fn=end_with_parent
        )
        try:
            follow(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-LOG_LINES:])
        raise InputError(f"pre-training ended with status {process.returncode}; the end of {log}:\n{tail}")
    checkpoint = work_dir / Path((work_dir / LAST).read_text().strip()).name
    with atomic_path(work_dir / _FINISHED) as temporary:
        temporary.write_text(checkpoint.name)
    return checkpoint
