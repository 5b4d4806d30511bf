"""The kinds of tasks a sweep knows, and the code that does them.

A light task measures many sizes in one process: its function is called once with many runs,
`function(runs, device) -> iterator of (run, Result or Exception)`. Any other task is one run at a time,
`function(run, work_dir, device) -> Result`, and resumes by itself from what it finds in `work_dir`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poa_bench.sweep.plan import Run, Task
    from poa_bench.sweep.results import Result

LIGHT_TASKS = ("knn", "linear", "profile")
LATENCY_TASKS = ("profile",)  # what they measure is disturbed by anything that runs beside them
LIGHT_FUNCTION = "poa_bench.downstream.evaluate:evaluate_light"
DENSE_FUNCTION = "poa_bench.downstream.dense:run_dense"


def resolve_settings(task: Task) -> dict[str, Any]:
    """What is hashed for a task: its settings, with a named config file replaced by its whole resolved content."""
    settings = dict(task.settings)
    if "config" in settings:
        settings["config"] = _resolved_config(settings["config"], settings.pop("cfg_options", {}))
    return settings


def evaluate(runs: Sequence[Run], directory: Path, device: str) -> Iterator[tuple[Run, Result | Exception]]:
    """Do the runs, light ones together; yield each as soon as it is finished, or the error that ended it.

    Args:
        runs: any mixture of tasks.
        directory: the sweep's; a run that needs a work folder gets `<directory>/<run id>/work`.
        device: `cpu` or `cuda`.
    """
    light = [run for run in runs if run.task in LIGHT_TASKS]
    if light:
        yield from _evaluate_together(light, device)
    for run in runs:
        if run.task in LIGHT_TASKS:
            continue
        try:
            yield run, _function(DENSE_FUNCTION)(run, directory / run.id / "work", device)
        except Exception as error:  # kept in full by the caller, which goes on with the next run
            yield run, error


def _evaluate_together(runs: Sequence[Run], device: str) -> Iterator[tuple[Run, Result | Exception]]:
    left = {run.id: run for run in runs}
    try:
        for run, outcome in _function(LIGHT_FUNCTION)(runs, device):
            del left[run.id]
            yield run, outcome
    except Exception as error:  # what they share failed, such as a checkpoint that is gone
        for run in left.values():
            yield run, error
        return
    for run in left.values():
        yield run, RuntimeError(f"{LIGHT_FUNCTION} returned nothing for this run")


def _function(name: str) -> Callable:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def _resolved_config(name: str, options: dict[str, Any]) -> dict[str, Any]:
    from mmengine.config import Config

    from poa_bench.config_files import find_config

    config = Config.fromfile(name if Path(name).is_file() else find_config(name))
    config.merge_from_dict(dict(options))
    return config.to_dict()
