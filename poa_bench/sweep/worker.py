"""One process that works through a chunk of runs: `python -m poa_bench.sweep.worker CHUNK_FILE`.

It speaks to the rest of the sweep through the results folder alone, so the same worker serves every executor.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from poa_bench.files import atomic_path
from poa_bench.sweep import state
from poa_bench.sweep.plan import Run
from poa_bench.sweep.results import Result, write_result
from poa_bench.sweep.tasks import evaluate


class Chunk(BaseModel):
    """Runs that share one process, and what this process needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default_factory=lambda: uuid.uuid4().hex[:12])
    directory: Path
    runs: tuple[Run, ...]
    gpus: int
    alone: bool

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
    with ExitStack() as held:
        releases = {}
        for run in chunk.runs:
            release = held.enter_context(state.hold(directory, run.id))
            # asked after locking: somebody may have finished the run a moment ago
            if release is not None and not state.is_done(directory, run.id):
                releases[run.id] = release
        left = {run.id: run for run in chunk.runs if run.id in releases}
        try:
            for run, outcome in evaluate(list(left.values()), directory, "cuda" if chunk.gpus else "cpu"):
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
        failure = state.record_failure(directory, run, outcome)
        print(f"{run}: attempt {failure.attempt} failed\n{failure.error}", flush=True)
    else:
        write_result(outcome, directory)
        print(f"{run}: {next(iter(outcome.metrics))} {outcome.primary:.4g}", flush=True)


def _end_with_parent() -> None:
    """End this process group when the runner is gone, however it went: the pipe on stdin is closed then."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Entry of the local executor's processes; each leads its own process group."""
    _end_with_parent()
    work(Chunk.model_validate_json(Path(sys.argv[1]).read_bytes()))


if __name__ == "__main__":
    main()
