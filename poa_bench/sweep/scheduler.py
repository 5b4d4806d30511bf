"""Carries a sweep through: whatever is missing is run, retried, and accounted for."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from poa_bench.errors import InputError
from poa_bench.runs.run import Run
from poa_bench.sweep import run_folder
from poa_bench.sweep.local import Ended, LocalExecutor
from poa_bench.sweep.order import in_order
from poa_bench.sweep.plan import Sweep, expand
from poa_bench.sweep.status import display
from poa_bench.sweep.watch import Watch
from poa_bench.sweep.worker import Chunk
from poa_bench.tasks import find_task
from poa_bench.tasks.execute import modules_for

POLL_SECONDS = 0.3
MOST_RUNS = 500  # of a chunk: its worker holds one open lock file for each


class Executor(Protocol):
    """Where chunks run: see `LocalExecutor`, `SlurmExecutor`."""

    busy: bool
    in_flight: list[Chunk]

    def parts(self, runs: int) -> int: ...
    def submit(self, chunks: list[Chunk]) -> None: ...
    def poll(self) -> list[Ended]: ...
    def stop(self) -> None: ...


@dataclass
class Summary:
    """How a sweep ended. `failures` holds the last one of each run that has no result."""

    total: int
    done: int
    failures: list[run_folder.Failure] = field(default_factory=list)
    results: Path = Path()

    @property
    def exit_code(self) -> int:
        """0 if every run has its result, else 1."""
        return 0 if self.done == self.total else 1

    def __str__(self) -> str:
        lines = [f"{self.done} of {self.total} runs have their result in {self.results}"]
        for cause, failures in run_folder.causes(self.failures).items():
            first = failures[0]
            lines.append(f"{len(failures)} failed: {cause}")
            lines.append(f"    first: {first.run}, {self.results / first.run_id}/failure-{first.attempt}.json")
        if missing := self.total - self.done - len(self.failures):
            lines.append(f"{missing} were not run")
        if self.done < self.total:
            lines.append("run the same command again to do what is missing")
        return "\n".join(lines)


class Scheduler:
    """Keeps the books of one sweep over one executor.

    Args:
        runs: the whole sweep; what is done already is left alone.
        directory: the results folder.
        retries: how often a run that failed is tried again, counted from now.
    """

    def __init__(self, runs: Sequence[Run], directory: Path, executor: Executor, retries: int) -> None:
        self.directory = directory
        self.executor = executor
        self.retries = retries
        self.runs = {run.id: run for run in in_order(runs)}
        run_folder.set_broken_aside(directory, self.runs)
        self.done = {run_id for run_id in self.runs if run_folder.is_done(directory, run_id)}
        self.earlier_failures = {run_id: run_folder.count_failures(directory, run_id) for run_id in self.missing}
        self.given_up: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """Ids of the runs without a result."""
        return [run_id for run_id in self.runs if run_id not in self.done]

    def carry_through(self, report: Callable[[], None]) -> Summary:
        """Run until every run has its result or has failed too often. `report` is called several times a second."""
        under_way = {run.id for chunk in self.executor.in_flight for run in chunk.runs}
        try:
            self.executor.submit(self.chunks([self.runs[i] for i in self.missing if i not in under_way]))
            while self.executor.busy or self._held_elsewhere():
                for ended in self.executor.poll():
                    self.executor.submit(self._settle(ended))
                self._look_for_results()
                report()
                time.sleep(POLL_SECONDS)
                if not self.executor.busy:
                    self.executor.submit(self.chunks(self._abandoned()))
        except BaseException:
            self.executor.stop()
            raise
        self._look_for_results()
        report()
        return self.summary()

    def summary(self) -> Summary:
        """Where the sweep stands, by what is on the disk now: somebody may have removed or moved a result."""
        self.done = {run_id for run_id in self.runs if run_folder.is_done(self.directory, run_id)}
        failures = [run_folder.last_failure(self.directory, run_id) for run_id in self.missing]
        found = [failure for failure in failures if failure is not None]
        return Summary(len(self.runs), len(self.done), found, self.directory)

    def chunks(self, runs: Sequence[Run], most: int = MOST_RUNS) -> list[Chunk]:
        """Divide runs among processes: light ones share, sizes dealt out in turn; every other run is on its own."""
        light, heavy, chunks = defaultdict(list), [], []
        for run in runs:
            if find_task(run.task).is_light:
                light[run.alone, run.gpus].append(run)
            else:
                heavy.append(self._chunk([run], run.alone, run.gpus))
        for (alone, gpus), together in light.items():
            for part in _deal(together, 1 if alone else self.executor.parts(len(together))):
                pieces = [part[start : start + most] for start in range(0, len(part), most)]
                chunks += [self._chunk(piece, alone, gpus) for piece in pieces]
        return sorted(chunks + heavy, key=lambda chunk: chunk.turn)

    def _chunk(self, runs: Sequence[Run], alone: bool, gpus: int) -> Chunk:
        return Chunk(directory=self.directory, runs=tuple(runs), gpus=gpus, alone=alone)

    def _settle(self, ended: Ended) -> list[Chunk]:
        """What to run again of a chunk that has ended."""
        self._look_for_results()
        left = [run for run in ended.chunk.runs if run.id not in self.done and run.id not in self.given_up]
        if ended.death and ended.killed and len(left) > 1:
            # one of them killed the worker, nobody knows which: smaller and smaller chunks find out
            return self.chunks([run for run in left if self._may_run(run)], most=len(left) // 2)
        if ended.death:
            for run in left:
                run_folder.record_failure(self.directory, run, f"{ended.log_tail}\n{ended.death}", cause=ended.death)
        # a run without a failure is in the hands of another scheduler
        return self.chunks([run for run in left if self._attempts(run) and self._may_run(run)])

    def _may_run(self, run: Run) -> bool:
        if self._attempts(run) > self.retries:
            self.given_up.add(run.id)
        return run.id not in self.given_up

    def _attempts(self, run: Run) -> int:
        return run_folder.count_failures(self.directory, run.id) - self.earlier_failures.get(run.id, 0)

    def _look_for_results(self) -> None:
        self.done |= {run_id for run_id in self.missing if run_folder.is_done(self.directory, run_id)}

    def _held_elsewhere(self) -> bool:
        """Whether another scheduler works on something that is missing here."""
        return any(run_folder.owner(self.directory, run_id) for run_id in self.missing if run_id not in self.given_up)

    def _abandoned(self) -> list[Run]:
        """Missing runs that nobody works on any more, not even another scheduler, and that may be tried again."""
        free = [run_id for run_id in self.missing if run_id not in self.given_up]
        return [self.runs[run_id] for run_id in free if run_folder.owner(self.directory, run_id) is None]


def _deal(runs: Sequence[Run], parts: int) -> list[list[Run]]:
    """Runs of the same size and initialisation stay together: they share their features."""
    groups: dict[tuple, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.checkpoint_sha256, run.spec, run.initialisation, run.seed].append(run)
    dealt = [[] for _ in range(min(parts, len(groups)))]
    for position, group in enumerate(groups.values()):
        dealt[position % len(dealt)] += group
    return dealt


def run_sweep(
    sweep: Sweep,
    executor: Literal["local", "slurm"] = "local",
    jobs: int | None = None,
    gpus: int = 0,
    retries: int | None = None,
    show: bool = True,
) -> Summary:
    """Do what is missing of a sweep: the Python side of `poa-bench run`.

    Args:
        sweep: from `load_sweep` or `make_sweep`.
        executor: `local` packs the runs on this machine, `slurm` submits them as job arrays.
        jobs: processes at a time (local only, without GPUs).
        gpus: GPUs to use (local only).
        retries: in place of the sweep's own.
        show: a progress display on the terminal; lines from time to time where the output is no terminal.

    Raises:
        InputError: the sweep cannot be expanded, or it wants what the machine does not have.
    """
    runs = expand(sweep)
    directory = Path(sweep.results).absolute()
    if executor == "slurm":
        from poa_bench.sweep.slurm import SlurmExecutor

        if jobs or gpus:
            raise InputError(
                "--jobs and --gpus are for the local executor only; on SLURM use --set slurm.max_jobs=N or --set "
                "slurm.gpus=N"
            )
        chosen: Executor = SlurmExecutor(directory, sweep.name, sweep.slurm)
    else:
        chosen = LocalExecutor(jobs, gpus, modules_for(runs))
    directory.mkdir(parents=True, exist_ok=True)
    scheduler = Scheduler(runs, directory, chosen, sweep.retries if retries is None else retries)
    with display(Watch(directory, runs), sweep.name, show) as report:
        return scheduler.carry_through(report)
