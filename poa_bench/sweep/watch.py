"""Looks at a results folder: which runs are done, running, failed or waiting, and how long the rest takes."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poa_bench.errors import InputError
from poa_bench.runs.results import RESULT_FILE, Result, read_result
from poa_bench.runs.run import Run
from poa_bench.sweep import run_folder
from poa_bench.sweep.estimates import Estimates, Kind, Left


@dataclass
class Snapshot:
    """One look at a sweep. Times in seconds.

    `left` is what is to be done, kind by kind, and `parallel` how much of it is done at a time: the seconds of work
    that were done in a second of the last minutes, or the number of processes that run, whatever is more; at least 1.
    """

    states: dict[str, run_folder.State]
    counts: dict[str, Counter]
    owners: dict[str, run_folder.Owner]
    failures: list[run_folder.Failure]
    per_minute: float
    parallel: float
    left: dict[Kind, Left]
    expected: Estimates

    def count(self, which: run_folder.State) -> int:
        """Runs in one state, over all tasks."""
        return sum(counter[which] for counter in self.counts.values())

    @property
    def unknown(self) -> int:
        """Runs of what is left that are of a kind of which none was finished here; they are not in `eta`."""
        return sum(left.unknown for left in self.left.values())

    @property
    def eta(self) -> float | None:
        """Seconds until everything else is done; None where nothing like what is left was ever finished."""
        if self.left and self.unknown == sum(left.runs for left in self.left.values()):
            return None
        return sum(left.seconds for left in self.left.values()) / self.parallel


class Watch:
    """Looks at a results folder again and again; each result is read once.

    Args:
        window: seconds over which the pace is taken.
    """

    def __init__(self, directory: Path, runs: Sequence[Run], window: float = 600.0) -> None:
        self.directory = directory
        self.runs = list(runs)
        self.window = window
        self._results: dict[str, Result] = {}

    def look(self) -> Snapshot:
        """The sweep as it stands now."""
        states = {run.id: run_folder.state_of(self.directory, run.id) for run in self.runs}
        self._read([i for i, where in states.items() if where == "done"])
        # a broken result is no result: it is done again
        states |= {i: "waiting" for i, where in states.items() if where == "done" and i not in self._results}
        counts: dict[str, Counter] = {}
        for run in self.runs:
            counts.setdefault(run.task, Counter())[states[run.id]] += 1
        owners = {i: run_folder.owner(self.directory, i) for i, where in states.items() if where == "running"}
        owners = {i: found for i, found in owners.items() if found}
        failures = [run_folder.last_failure(self.directory, i) for i, where in states.items() if where == "failed"]
        per_minute, parallel = self._pace()
        processes = len({(owner.host, owner.pid) for owner in owners.values()})
        expected = Estimates(self._results.values(), self.runs)
        left = [run for run in self.runs if states[run.id] in ("running", "waiting")]
        return Snapshot(
            states=states,
            counts=counts,
            owners=owners,
            failures=[failure for failure in failures if failure],
            per_minute=per_minute,
            parallel=max(parallel, processes) or 1,
            left=expected.by_kind(left),
            expected=expected,
        )

    def _read(self, done: list[str]) -> None:
        for run_id in done:
            if run_id not in self._results:
                with contextlib.suppress(InputError):  # a broken file is named by whoever needs its numbers
                    self._results[run_id] = read_result(self.directory / run_id / RESULT_FILE)

    def _pace(self) -> tuple[float, float]:
        """Results per minute, and seconds of runs done per second, since the window (or the work in it) began."""
        now = time.time()
        # a clock that was set back since has results of the future, of which nobody knows how old they are
        ages = ((result, now - result.created.timestamp()) for result in self._results.values())
        recent = [result for result, age in ages if 0 <= age < self.window]
        if not recent:
            return 0.0, 0.0
        ended = [result.created.timestamp() for result in recent]
        began = [max(end - result.seconds, now - self.window) for end, result in zip(ended, recent, strict=True)]
        span = max(now - min(began), 1e-3)
        return 60 * len(recent) / span, (sum(ended) - sum(began)) / span
