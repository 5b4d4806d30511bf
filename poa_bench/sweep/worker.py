"""One process that works through a chunk of runs.

It speaks to the rest of the sweep through the results folder alone, so the same worker serves every executor.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from poa_bench.errors import StoppedError
from poa_bench.files import atomic_path
from poa_bench.runs.results import Result, write_result
from poa_bench.runs.run import Run
from poa_bench.sweep import run_folder
from poa_bench.tasks import find_task
from poa_bench.tasks.execute import execute


class Chunk(BaseModel):
    """Runs that share one process, and what this process needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    directory: Path
    runs: tuple[Run, ...]
    gpus: int
    alone: bool

    @property
    def turn(self) -> tuple[bool, bool]:
        """Sorts chunks: light ones first, and among these and among the others what must be alone last."""
        return any(not find_task(run.task).is_light for run in self.runs), self.alone

    @property
    def path(self) -> Path:
        """Where `save` puts it."""
        return self.directory / "chunks" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """What its process prints."""
        return self.directory / "chunks" / f"{self.name}.log"

    def save(self) -> Path:
        """Write the chunk where its worker will read it."""
        with atomic_path(self.path) as temporary:
            temporary.write_text(self.model_dump_json(), encoding="utf-8")
        return self.path


def work(chunk: Chunk) -> None:
    """Do the runs of a chunk that are neither done nor in other hands; every outcome is on disk before the next one."""
    directory = chunk.directory
    with run_folder.hold_missing(directory, chunk.runs) as releases:
        left = {run.id: run for run in chunk.runs if run.id in releases}
        try:
            for run, outcome in execute(list(left.values()), directory, "cuda" if chunk.gpus else "cpu"):
                _keep(directory, run, outcome)
                del left[run.id]
                releases[run.id]()
        except Exception as error:  # outside any run, such as a library that does not import: each of them failed
            for run in left.values():
                _keep(directory, run, error)


def _keep(directory: Path, run: Run, outcome: Result | Exception) -> None:
    if isinstance(outcome, Result) and outcome.run_id != run.id:
        outcome = RuntimeError(f"the result of run {run.id} says that it is run {outcome.run_id}")
    if isinstance(outcome, Exception):
        if _was_told_to_stop(outcome):
            raise SystemExit(1) from outcome
        failure = run_folder.record_failure(directory, run, outcome)
        print(f"{run}: attempt {failure.attempt} failed\n{failure.error}", flush=True)
    else:
        write_result(outcome, directory)
        print(f"{run}: {next(iter(outcome.metrics))} {outcome.primary:.4g}", flush=True)


def _was_told_to_stop(error: BaseException | None) -> bool:
    """Whether an error is a training's that SIGTERM has stopped, or began as a `SystemExit`.

    That is what submitit raises wherever a job happens to be when its time is up. Libraries with a bare `except`
    (mmengine's, while it formats a config) turn it into an error of their own.
    """
    while error is not None and not isinstance(error, SystemExit | StoppedError):
        error = error.__cause__ or error.__context__
    return error is not None


def run_as_process(chunk: Chunk, environment: dict[str, str]) -> None:
    """What a process of the local executor does: the chunk, in its own process group, its output in the chunk's log.

    Args:
        environment: variables to set before any work: which GPUs, how many threads.
    """
    os.setsid()
    log = os.open(chunk.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(environment)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    import torch

    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    work(chunk)


def _end_with(parent: int) -> None:
    """End this process group when its parent is gone, however that went."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os.killpg(os.getpgrp(), signal.SIGKILL)
