"""Light evaluation of one checkpoint by hand: the runs of a small sweep, done in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.profile import choose_device, hardware_facts
from poa_bench.errors import InputError
from poa_bench.outside.name import is_outside
from poa_bench.runs.results import RESULT_FILE, Result, read_result, write_result
from poa_bench.runs.run import Run
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.run_folder import hold_missing, is_done, owner, set_broken_aside
from poa_bench.tasks import find_light_task, find_task, task_of_protocol
from poa_bench.tasks.light import run_light

STANDARD = ("knn", "linear", "profile")  # what is measured where no task is named


def evaluate_checkpoint(
    checkpoint: str, data: str, output: str | Path, device: str | None = None, **choice: Any
) -> list[Result]:
    """Measure sizes of a checkpoint and write one result per (spec, task, protocol, seed); what is there is left out.

    Results that are there get the name `series`, if one is given.

    Args:
        checkpoint: see `plan_light`.
        data: see `plan_light`.
        output: the results folder.
        device: `cpu` or `cuda`; by default cuda where there is one.
        choice: further arguments of `plan_light`.

    Returns:
        The new results.

    Raises:
        InputError: an argument is not among those allowed, the folder has profiles of another device, or a run found
            an error in what it was given.
    """
    device = choose_device(device)
    runs = plan_light(checkpoint, data, **choice)
    output = Path(output)
    set_broken_aside(output, (run.id for run in runs))
    done = {run.id: run for run in runs if is_done(output, run.id)}
    _refuse_other_machines(done.values(), output, hardware_facts(device)["device"])
    _name_series(done.values(), output)
    results, errors = _measure([run for run in runs if run.id not in done], len(runs), output, device)
    if errors:
        raise errors[0][1]
    return results


def _measure(
    missing: list[Run], total: int, output: Path, device: str
) -> tuple[list[Result], list[tuple[Run, Exception]]]:
    """Do and write what nobody else works on; the new results, and what has failed."""
    results: list[Result] = []
    errors: list[tuple[Run, Exception]] = []
    with _progress() as progress, hold_missing(output, missing) as releases:
        held = [run for run in missing if run.id in releases]
        if others := [run for run in missing if run.id not in releases]:
            progress.print(_left_to(output, others), soft_wrap=True, markup=False)
        bar = progress.add_task("runs", total=total, completed=total - len(held))
        for run, outcome in run_light(held, device, progress):
            progress.advance(bar)
            if isinstance(outcome, Exception):
                errors.append((run, outcome))
                continue
            write_result(outcome, output)
            releases[run.id]()
            results.append(outcome)
            metric = next(iter(outcome.metrics))
            progress.print(f"{run}: {metric} {outcome.primary:.2f} {outcome.units.get(metric, '')}", soft_wrap=True)
        for line in _causes(errors, total):
            progress.print(line, soft_wrap=True, markup=False)
    return results, errors


def _left_to(output: Path, runs: list[Run]) -> str:
    """What to say of runs that another process works on, or has just finished."""
    by = owner(output, runs[0].id)
    who = f"process {by.pid} on {by.host}" if by else "another process"
    return f"{len(runs)} runs are measured by {who} right now, into the same folder, and are left to it"


def _causes(errors: list[tuple[Run, Exception]], total: int) -> Iterator[str]:
    """What to say of runs that failed; the first one's error is raised afterwards, and not said here."""
    if errors:
        yield f"{len(errors)} of {total} runs failed; the first is {errors[0][0]}"
    failed: dict[str, list[Run]] = {}
    for run, error in errors:
        failed.setdefault(str(error) or repr(error), []).append(run)
    for cause, runs in list(failed.items())[1:]:
        others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        yield f"{runs[0]}{others}: {cause}"


def plan_light(
    checkpoint: str,
    data: str,
    tasks: Sequence[str] = STANDARD,
    specs: str | Sequence[str] = "all",
    initialisation: str = "pretrained",
    protocols: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    settings: dict[str, Any] | None = None,
    series: str | None = None,
    outside: Mapping[str, Any] | None = None,
) -> list[Run]:
    """The runs of `evaluate_checkpoint`; their ids are those of the same runs in a sweep.

    Args:
        checkpoint: of a pre-training; the controls take its architecture, and may take that of a pre-training config.
            Or a network from outside, `timm:NAME`.
        data: name of an evaluation data set (`digits`), or the path of its config.
        tasks: names of light tasks.
        specs: 'all', or names and aliases, 'smallest', 'middle', 'intact'.
        initialisation: `pretrained`, or a control: `random`, `pixels` (which has no profile).
        protocols: names; a task of which none is named has its defaults.
        seeds: of random initialisation and of a validation split that is held out.
        settings: see `run_light`.
        series: name of the report's line that the results belong to; see `Sweep`. Of a network from outside, its name.
        outside: further entries of a network from outside, see `OutsideEntry`.

    Raises:
        InputError: an argument is not among those allowed.
    """
    dataset = EvaluationData.load(data).name
    settings = {**(settings or {}), **({"config": str(data)} if Path(data).is_file() else {})}
    tasks = [find_light_task(task) for task in tasks]
    tasks = [task.name for task in tasks if task.takes_pixels or initialisation != "pixels"]
    of_task = {name: task_of_protocol(name) for name in protocols}
    if unused := sorted(name for name, task in of_task.items() if task not in tasks):
        raise InputError(f"protocols {unused} belong to none of the tasks {tasks}: leave them out or add the task")
    entries = [
        {
            "task": task,
            "dataset": dataset,
            "protocols": [name for name, of in of_task.items() if of == task],
            "specs": specs if isinstance(specs, str) else list(specs),
            "initialisations": [initialisation],
            "settings": settings,
        }
        for task in tasks
    ]
    sweep = {
        "name": "evaluate",
        **_measured(str(checkpoint), series, outside),
        "results": "",
        "seeds": list(seeds),
    }
    return expand(make_sweep({**sweep, "tasks": entries}, source="poa-bench evaluate"))


def _measured(checkpoint: str, series: str | None, outside: Mapping[str, Any] | None) -> dict[str, Any]:
    """Entries of a sweep: the checkpoint, or a network from outside."""
    given = {name: value for name, value in (outside or {}).items() if value}
    if is_outside(checkpoint):
        return {"checkpoints": [], "networks": [{"timm": checkpoint, "name": series, **given}]}
    if given:
        raise InputError(
            f"{', '.join(given)} belong to networks from outside, timm:NAME, and {checkpoint} is none: leave them out"
        )
    return {"checkpoints": [checkpoint], "series": series}


def _name_series(done: Iterable[Run], output: Path) -> None:
    """Write the runs' series into the results that are there: a name, which changes nothing that was measured."""
    for run in done:
        if run.series and (result := read_result(output / run.id / RESULT_FILE)).facts.get("series") != run.series:
            write_result(result.model_copy(update={"facts": {**result.facts, "series": run.series}}), output)


def _refuse_other_machines(done: Iterable[Run], output: Path, device: str) -> None:
    """A profile that is there counts as done, and its latencies would be taken for this machine's."""
    profiles = (read_result(output / run.id / RESULT_FILE) for run in done if find_task(run.task).is_cost)
    for found in (profile.facts.get("device") for profile in profiles):
        if found != device:
            raise InputError(
                f"{output} holds profiles measured on {found}, and this is {device}: give this machine's a folder of "
                "their own with -o (`pick` and `report` take the newest below the folder that they are given)"
            )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
