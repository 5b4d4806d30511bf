"""Light evaluation of one checkpoint by hand: the runs of a small sweep, done in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from poa_bench.downstream.evaluate import evaluate_light
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.protocols import DEFAULTS, check_task, parse_protocol
from poa_bench.errors import InputError
from poa_bench.sweep.plan import Run, expand, make_sweep
from poa_bench.sweep.results import Result, write_result
from poa_bench.sweep.state import is_done


def evaluate_checkpoint(
    checkpoint: str,
    data: str,
    output: str | Path,
    tasks: Sequence[str] = tuple(DEFAULTS),
    specs: str | Sequence[str] = "all",
    initialisation: str = "pretrained",
    protocols: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    settings: dict[str, Any] | None = None,
    device: str | None = None,
) -> list[Result]:
    """Measure sizes of a checkpoint and write one result per (spec, task, protocol, seed); what is there is left out.

    Args:
        checkpoint: of a pre-training; the controls take its search space and architecture.
        data: name of an evaluation data set (`digits`), or the path of its config.
        output: the results folder.
        tasks: of `knn`, `linear`, `profile`.
        specs: 'all', or names and aliases, 'smallest', 'middle', 'intact'.
        initialisation: `pretrained`, or a control: `random`, `pixels`.
        protocols: names; by default those of `protocols.DEFAULTS`.
        seeds: of random initialisation and of a validation split that is held out.
        settings: see `evaluate_light`.
        device: `cpu` or `cuda`; by default cuda where there is one.

    Returns:
        The new results.

    Raises:
        InputError: an argument is not among those allowed, or a run found an error in what it was given.
    """
    runs = plan_light(checkpoint, data, output, tasks, specs, initialisation, protocols, seeds, settings or {})
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    missing = [run for run in runs if not is_done(Path(output), run.id)]
    results: list[Result] = []
    errors: list[tuple[Run, Exception]] = []
    with _progress() as progress:
        bar = progress.add_task("runs", total=len(runs), completed=len(runs) - len(missing))
        for run, outcome in evaluate_light(missing, device, progress):
            progress.advance(bar)
            if isinstance(outcome, Exception):
                errors.append((run, outcome))
                continue
            write_result(outcome, output)
            results.append(outcome)
            metric = next(iter(outcome.metrics))
            progress.print(f"{run}: {metric} {outcome.primary:.2f} {outcome.units.get(metric, '')}")
        if errors:
            progress.print(f"{len(errors)} of {len(runs)} runs failed; the first is {errors[0][0]}")
    if errors:
        raise errors[0][1]
    return results


def plan_light(
    checkpoint: str,
    data: str,
    output: str | Path,
    tasks: Sequence[str],
    specs: str | Sequence[str],
    initialisation: str,
    protocols: Sequence[str],
    seeds: Sequence[int],
    settings: dict[str, Any],
) -> list[Run]:
    """The runs of `evaluate_checkpoint`; their ids are those of the same runs in a sweep."""
    dataset = EvaluationData.load(data).name
    if Path(data).is_file():
        settings = {**settings, "config": str(data)}
    kinds = {name: parse_protocol(name).task for name in protocols}
    if unused := sorted(name for name, task in kinds.items() if task not in tasks):
        raise InputError(
            f"protocols {unused} belong to none of the tasks {list(tasks)}: leave them out or add the task"
        )
    entries = [
        {
            "task": check_task(task),
            "dataset": dataset,
            "protocols": [name for name, of in kinds.items() if of == task] or [p.name for p in DEFAULTS[task]],
            "specs": specs if isinstance(specs, str) else list(specs),
            "initialisations": [initialisation],
            "settings": settings,
        }
        for task in tasks
        if not (task == "profile" and initialisation == "pixels")  # an image has no cost
    ]
    sweep = {"name": "evaluate", "checkpoints": [checkpoint], "results": str(output), "seeds": list(seeds)}
    return expand(make_sweep({**sweep, "tasks": entries}, source="poa-bench evaluate"))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
