"""Does runs: light ones together, every other one on its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from poa_bench.tasks import find_task

if TYPE_CHECKING:
    from poa_bench.runs.results import Result
    from poa_bench.runs.run import Run

LIGHT_FUNCTION = "poa_bench.tasks.light:run_light"
TRAINED_FUNCTION = "poa_bench.tasks.trained:run_trained"
TRAINED_LIBRARIES = tuple(
    f"{name}.{part}" for name in ("mmdet", "mmseg") for part in ("models", "datasets", "evaluation")
)


def execute(runs: Sequence[Run], directory: Path, device: str) -> Iterator[tuple[Run, Result | Exception]]:
    """Do the runs, light ones together; yield each as soon as it is finished, or the error that ended it.

    Args:
        runs: any mixture of tasks.
        directory: the sweep's; a run that needs a work folder gets `<directory>/<run id>/work`.
        device: `cpu` or `cuda`.
    """
    light = [run for run in runs if find_task(run.task).is_light]
    if light:
        yield from _function(LIGHT_FUNCTION)(light, device)
    for run in runs:
        if find_task(run.task).is_light:
            continue
        try:
            yield run, _function(TRAINED_FUNCTION)(run, directory / run.id / "work", device)
        except Exception as error:  # kept in full by the caller, which goes on with the next run
            yield run, error


def modules_for(runs: Iterable[Run]) -> list[str]:
    """What the processes that do these runs will import (missing libraries are named by whoever needs them)."""
    light = {find_task(run.task).is_light for run in runs}
    names = [LIGHT_FUNCTION.split(":")[0], "poa_bench.datasets.classification"] if True in light else []
    return names + ([TRAINED_FUNCTION.split(":")[0], *TRAINED_LIBRARIES] if False in light else [])


def _function(name: str) -> Callable:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)
