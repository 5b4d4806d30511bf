"""Where a sweep stands: counts by task and state, what runs, how long it takes, what failed and why, what is stale."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from poa_bench.errors import InputError
from poa_bench.runs.results import RESULT_FILE, Result, load_results, read_result
from poa_bench.runs.run import Run
from poa_bench.sweep import state
from poa_bench.sweep.plan import Sweep, expand

if TYPE_CHECKING:
    from rich.console import Group

STATES: tuple[state.State, ...] = ("done", "running", "failed", "waiting")


class Seconds:
    """Expected seconds of a run: the median over earlier results of its task and data set, else of its task."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._seen: dict[tuple, list[float]] = {}
        for result in results:
            for key in ((result.task, result.dataset), (result.task,)):
                self._seen.setdefault(key, []).append(result.seconds)

    def of(self, run: Run) -> float | None:
        """Seconds, or None if nothing like it was ever run."""
        found = self._seen.get((run.task, run.dataset)) or self._seen.get((run.task,))
        return median(found) if found else None

    def total(self, runs: Iterable[Run]) -> tuple[float, int]:
        """Seconds of all runs that can be estimated, and the number of those that cannot."""
        estimates = [self.of(run) for run in runs]
        return sum(e for e in estimates if e is not None), estimates.count(None)


@dataclass
class Snapshot:
    """One look at a sweep. Times in seconds; `eta` None where nothing like what is left was finished recently.

    `unknown` runs of what is left are of a kind that was never finished here, and not in `eta`.
    """

    states: dict[str, state.State]
    counts: dict[str, Counter]
    owners: dict[str, state.Owner]
    failures: list[state.Failure]
    per_minute: float
    eta: float | None
    unknown: int
    expected: Seconds

    def count(self, which: state.State) -> int:
        """Runs in one state, over all tasks."""
        return sum(counter[which] for counter in self.counts.values())


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
        states = {run.id: state.state_of(self.directory, run.id) for run in self.runs}
        self._read([i for i, where in states.items() if where == "done"])
        # a broken result is no result: it is done again
        states |= {i: "waiting" for i, where in states.items() if where == "done" and i not in self._results}
        counts: dict[str, Counter] = {}
        for run in self.runs:
            counts.setdefault(run.task, Counter())[states[run.id]] += 1
        owners = {i: state.owner(self.directory, i) for i, where in states.items() if where == "running"}
        failures = [state.last_failure(self.directory, i) for i, where in states.items() if where == "failed"]
        per_minute, parallel = self._pace()
        expected = Seconds(self._results.values())
        left = [run for run in self.runs if states[run.id] in ("running", "waiting")]
        seconds, unknown = expected.total(left)
        return Snapshot(
            states=states,
            counts=counts,
            owners={i: found for i, found in owners.items() if found},
            failures=[failure for failure in failures if failure],
            per_minute=per_minute,
            eta=seconds / parallel if parallel and unknown < len(left) else (None if left else 0.0),
            unknown=unknown,
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
        recent = [result for result in self._results.values() if now - result.created.timestamp() < self.window]
        if not recent:
            return 0.0, 0.0
        began = min(result.created.timestamp() - result.seconds for result in recent)
        span = max(min(now - began, self.window), 1e-3)
        return 60 * len(recent) / span, sum(result.seconds for result in recent) / span


def unplanned(runs: Sequence[Run], results: Iterable[Result]) -> dict[str, list[Result]]:
    """Results that measured what the plan wants, but not as it wants it; by a few words that say what they are.

    `stale ...` are replaced in a report: the protocol has a newer version, or the checkpoint's file other contents.
    `other ...` stand beside the plan's in a report: they are of another checkpoint, or of other settings.
    """
    wanted: dict[tuple, list[Run]] = {}
    for run in runs:
        wanted.setdefault(_subject(run), []).append(run)
    planned = {run.id for run in runs}
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.run_id not in planned and (alike := wanted.get(_subject(result))):
            # the plan may have several checkpoints: this result is compared with its own, if that is there
            run = max(
                alike, key=lambda run: (run.checkpoint_sha256 == result.checkpoint_sha256, _same_file(run, result))
            )
            found.setdefault(_difference(run, result), []).append(result)
    return found


def _subject(item: Run | Result) -> tuple:
    name = item.protocol.rsplit("/", 1)[0]
    return (item.spec, item.task, name, item.dataset, item.seed, item.initialisation)


def _same_file(run: Run, result: Result) -> bool:
    """Whether the result's checkpoint is an earlier content of the run's file, not another repeat of the training."""
    seeds = {run.pretraining_seed, result.pretraining_seed} - {None}
    paths = [item.checkpoint and Path(item.checkpoint).absolute() for item in (run, result)]
    return paths[0] == paths[1] and len(seeds) < 2


def _difference(run: Run, result: Result) -> str:
    if result.protocol != run.protocol:
        return f"stale: protocol {result.protocol}, now {run.protocol}"
    if result.checkpoint_sha256 != run.checkpoint_sha256:
        kind = "stale: earlier contents of the" if _same_file(run, result) else "other: of another"
        return f"{kind} checkpoint ({result.checkpoint}, sha256 {str(result.checkpoint_sha256)[:8]})"
    if result.config_hash == run.config_hash:
        return "other: they do not say the pre-training seed"
    changed = [name for name in run.config if result.config.get(name, run.config[name]) != run.config[name]]
    said = ", ".join(f"{name} {result.config[name]}, not {run.config[name]}" for name in changed)
    return f"other: of other settings ({said or 'which ones is not said'})"


def render(snapshot: Snapshot, runs: Sequence[Run], title: str) -> Group:
    """The snapshot for the terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    table.add_column("task")
    for name in (*STATES, "all"):
        table.add_column(name, justify="right")
    for task, counter in snapshot.counts.items():
        table.add_row(task, *(str(counter[name] or "") for name in STATES), str(counter.total()))
    lines = [table, Text(_pace(snapshot))]
    lines += [Text(line) for line in _running(snapshot, runs)]
    for cause, failures in state.causes(snapshot.failures).items():
        lines.append(Text(f"{len(failures)} failed: {cause} (first: {failures[0].run}, {failures[0].run_id})", "red"))
    return Group(*lines)


def _pace(snapshot: Snapshot) -> str:
    done, total = snapshot.count("done"), len(snapshot.states)
    left = "time left not known yet"
    if snapshot.eta is not None:
        beside = f" beside {snapshot.unknown} runs of a kind that was never run here" if snapshot.unknown else ""
        left = f"about {duration(snapshot.eta)} left{beside}"
    return f"{done} of {total} done, {snapshot.per_minute:.1f} runs per minute, {left}"


def _running(snapshot: Snapshot, runs: Sequence[Run], most: int = 8) -> list[str]:
    """One line for each process: what it holds, since when, and how long that takes."""
    names = {run.id: run for run in runs}
    processes: dict[tuple[str, int], list[str]] = {}
    for run_id, owner in snapshot.owners.items():
        processes.setdefault((owner.host, owner.pid), []).append(run_id)
    lines = []
    for (host, pid), held in list(processes.items())[:most]:
        started = min(snapshot.owners[run_id].started for run_id in held)
        seconds, unknown = snapshot.expected.total(names[run_id] for run_id in held)
        eta = "" if unknown else f", {len(held)} to go in about {duration(seconds)}"
        what = str(names[held[0]]) + (f" and {len(held) - 1} more" if len(held) > 1 else "")
        lines.append(f"running on {host} (process {pid}) for {duration(time.time() - started)}{eta}: {what}")
    return lines + ([f"and {len(processes) - most} more processes"] if len(processes) > most else [])


def duration(seconds: float) -> str:
    """`75` -> `1 min 15 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def display(watch: Watch, title: str, show: bool = True, every: float = 1.0) -> Iterator[Callable[[], None]]:
    """Yields a function that brings the display up to date; call it as often as you like.

    On a terminal a live table, elsewhere a line about once in 30 s; nothing where `show` is False.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not show:
        yield lambda: None
        return
    if not console.is_terminal:
        yield _throttled(lambda: print(f"{title}: {_pace(watch.look())}", flush=True), 30.0)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _throttled(lambda: live.update(render(watch.look(), watch.runs, title), refresh=True), every)
        live.update(render(watch.look(), watch.runs, title), refresh=True)


def _throttled(function: Callable[[], None], seconds: float) -> Callable[[], None]:
    last = [0.0]

    def call() -> None:
        if time.monotonic() - last[0] >= seconds:
            last[0] = time.monotonic()
            function()

    return call


def describe_plan(sweep: Sweep, jobs: int = 1, ids: bool = False) -> str:
    """What `poa-bench plan` prints.

    Args:
        jobs: processes at a time, for the estimate.
        ids: list every run.
    """
    runs, directory = expand(sweep), Path(sweep.results).absolute()
    results, broken = _results(directory)
    snapshot = Watch(directory, runs).look()
    lines = [f"{run.id}  {snapshot.states[run.id]:<7}  {run}" for run in runs] if ids else []
    for task, counter in snapshot.counts.items():
        lines.append(f"{task}: {counter.total()} runs, {counter['done']} done")
    left = [run for run in runs if snapshot.states[run.id] != "done"]
    seconds, unknown = Seconds(results).total(left)
    lines.append(f"{len(runs)} runs, {len(runs) - len(left)} done, {len(left)} to do, results in {directory}")
    if left:
        known = f"about {duration(seconds / jobs)} with {jobs} at a time" if unknown < len(left) else "time unknown"
        lines.append(known + (f" ({unknown} runs of a kind that was never run here)" if unknown else ""))
    return "\n".join(lines + _remarks(runs, results, broken))


def show_status(sweep: Sweep, keep_watching: bool = False, every: float = 2.0) -> None:
    """What `poa-bench status` prints; with `keep_watching` again and again until nothing runs or waits."""
    from rich.console import Console

    runs, directory = expand(sweep), Path(sweep.results).absolute()
    watch = Watch(directory, runs)
    if keep_watching:
        with display(watch, sweep.name) as refresh:
            while any(state.state_of(directory, run.id) in ("running", "waiting") for run in runs):
                refresh()
                time.sleep(every)
    console = Console(soft_wrap=True)
    console.print(render(watch.look(), runs, sweep.name))
    for remark in _remarks(runs, *_results(directory)):
        console.print(remark, markup=False)


def _results(directory: Path) -> tuple[list[Result], dict[str, str]]:
    return load_results(directory, on_broken="aside") if directory.is_dir() else ([], {})


def _remarks(runs: Sequence[Run], results: Iterable[Result], broken: dict[str, str]) -> list[str]:
    lines = [f"{len(found)} results are {kind}" for kind, found in unplanned(runs, results).items()]
    return lines + [f"broken: {why}" for why in broken.values()]
