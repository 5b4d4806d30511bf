"""What `poa-bench plan` and `poa-bench status` say, and the display of `poa-bench run`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from poa_bench.runs.results import Result, load_results
from poa_bench.runs.run import Run
from poa_bench.sweep import run_folder
from poa_bench.sweep.estimates import Estimates, Kind, Left
from poa_bench.sweep.order import in_order
from poa_bench.sweep.plan import Sweep, expand
from poa_bench.sweep.unplanned import unplanned
from poa_bench.sweep.watch import Snapshot, Watch

if TYPE_CHECKING:
    from rich.console import Group

STATES: tuple[run_folder.State, ...] = ("done", "running", "failed", "waiting")


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
    lines = [table, Text(_pace(snapshot)), *map(Text, _kinds(snapshot.left))]
    lines += [Text(line) for line in _running(snapshot, runs)]
    for cause, failures in run_folder.causes(snapshot.failures).items():
        lines.append(Text(f"{len(failures)} failed: {cause} (first: {failures[0].run}, {failures[0].run_id})", "red"))
    return Group(*lines)


def _pace(snapshot: Snapshot) -> str:
    done, total = snapshot.count("done"), len(snapshot.states)
    left = "time left not known yet"
    if snapshot.eta is not None:
        beside = f" beside {snapshot.unknown} runs of a kind that was never finished here" if snapshot.unknown else ""
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
        left = snapshot.expected.left(names[run_id] for run_id in held)
        eta = "" if left.unknown else f", {len(held)} to go in about {duration(left.seconds)}"
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
    runs, directory = in_order(expand(sweep)), Path(sweep.results).absolute()
    results, broken = _results(directory)
    snapshot = Watch(directory, runs).look()
    lines = [f"{run.id}  {snapshot.states[run.id]:<7}  {run}" for run in runs] if ids else []
    left = [run for run in runs if snapshot.states[run.id] != "done"]
    contents = {run.config.get("content") for run in runs}  # of configs; light runs have none
    alike = [result for result in results if result.config.get("content") in contents]
    estimates = Estimates(alike, runs, guess=True)
    for task, counter in snapshot.counts.items():
        lines.append(f"{task}: {counter.total()} runs, {counter['done']} done")
        lines += _kinds(estimates.by_kind(run for run in left if run.task == task))
    lines.append(f"{len(runs)} runs, {len(runs) - len(left)} done, {len(left)} to do, results in {directory}")
    if left:
        whole = estimates.left(left)
        known = f"about {duration(whole.seconds / jobs)} with {jobs} at a time"
        beside = f" beside {whole.unknown} runs of which nothing tells it" if whole.unknown else ""
        lines.append((known if whole.unknown < whole.runs else "time not known") + beside)
        if whole.guessed:
            lines.append(
                f"{whole.guessed} of these runs are of kinds that were never finished here: their time is guessed from "
                "the operations of their backbones (a profile's from its protocol), and may be wrong by a factor of 10"
            )
    return "\n".join(lines + _remarks(runs, results, broken))


def _kinds(kinds: dict[Kind, Left]) -> list[str]:
    """One line for each kind: what is left of it, and how long that takes if it is done one by one."""
    lines = []
    for (task, protocol, dataset), left in kinds.items():
        known = "time not known yet" if left.unknown == left.runs else f"about {duration(left.seconds)} one by one"
        guessed = ", a guess" if left.guessed else ""
        lines.append(f"  {task} {protocol} {dataset}: {left.runs} to do, {known}{guessed}")
    return lines


def show_status(sweep: Sweep, keep_watching: bool = False, every: float = 2.0) -> None:
    """What `poa-bench status` prints; with `keep_watching` again and again until nothing runs or waits."""
    from rich.console import Console

    runs, directory = expand(sweep), Path(sweep.results).absolute()
    watch = Watch(directory, runs)
    if keep_watching:
        with display(watch, sweep.name) as refresh:
            while any(run_folder.state_of(directory, run.id) in ("running", "waiting") for run in runs):
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
