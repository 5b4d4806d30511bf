"""The kinds of tasks a sweep knows, and the code that does them.

A light task measures many sizes in one process: its function is called once with many runs,
`function(runs, device) -> iterator of (run, Result or Exception)`. Any other task is one run at a time,
`function(run, work_dir, device) -> Result`, and resumes by itself from what it finds in `work_dir`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poa_bench.errors import InputError

if TYPE_CHECKING:
    from poa_bench.sweep.plan import Run, Task
    from poa_bench.sweep.results import Result

LIGHT_TASKS = ("knn", "linear", "profile")
LATENCY_TASKS = ("profile",)  # what they measure is disturbed by anything that runs beside them
LIGHT_FUNCTION = "poa_bench.downstream.evaluate:evaluate_light"
DENSE_FUNCTION = "poa_bench.downstream.dense:run_dense"


def protocols_of(task: Task) -> list[str]:
    """The protocols of a task entry; a light task has defaults.

    Raises:
        InputError: a light protocol that nobody knows, or a dense task without one.
    """
    if task.task in LIGHT_TASKS:
        from poa_bench.downstream.protocols import DEFAULTS, parse_protocol

        return [parse_protocol(name, task.task).name for name in task.protocols] or [
            p.name for p in DEFAULTS[task.task]
        ]
    if not task.protocols:
        raise InputError(f"task {task.task!r} has no protocol: name one, such as protocols=['mask-rcnn-20e/1']")
    return task.protocols


def resolve_settings(task: Task) -> dict[str, Any]:
    """What is hashed for a task: its settings with defaults filled in, and a config replaced by its resolved content.

    Raises:
        InputError: the config cannot be found, or it is of another data set.
    """
    if task.task in LIGHT_TASKS:
        return _resolved_light(task)
    settings = dict(task.settings)
    if "config" in settings:
        settings["config"] = _resolved_config(settings["config"], settings.pop("cfg_options", {}))
    return settings


def _resolved_light(task: Task) -> dict[str, Any]:
    from poa_bench.downstream.evaluate import SETTINGS
    from poa_bench.downstream.images import EvaluationData

    settings = {**SETTINGS, **task.settings}
    data = EvaluationData.load(settings.pop("config") or task.dataset, settings.pop("cfg_options"))
    if data.name != task.dataset:
        raise InputError(f"task {task.task} names data set {task.dataset!r}, but its config is of {data.name!r}")
    # how the images are read does not change what is measured
    described = {name: value for name, value in asdict(data).items() if name not in ("workers", "batch_size")}
    return {**settings, "data": described}


def evaluate(runs: Sequence[Run], directory: Path, device: str) -> Iterator[tuple[Run, Result | Exception]]:
    """Do the runs, light ones together; yield each as soon as it is finished, or the error that ended it.

    Args:
        runs: any mixture of tasks.
        directory: the sweep's; a run that needs a work folder gets `<directory>/<run id>/work`.
        device: `cpu` or `cuda`.
    """
    light = [run for run in runs if run.task in LIGHT_TASKS]
    if light:
        yield from _function(LIGHT_FUNCTION)(light, device)
    for run in runs:
        if run.task in LIGHT_TASKS:
            continue
        try:
            yield run, _function(DENSE_FUNCTION)(run, directory / run.id / "work", device)
        except Exception as error:  # kept in full by the caller, which goes on with the next run
            yield run, error


def _function(name: str) -> Callable:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def _resolved_config(name: str, options: dict[str, Any]) -> dict[str, Any]:
    from mmengine.config import Config

    from poa_bench.config_files import find_config

    config = Config.fromfile(name if Path(name).is_file() else find_config(name))
    config.merge_from_dict(dict(options))
    return config.to_dict()
