"""The kinds of tasks a sweep knows, and the code that does them.

A light task measures many sizes in one process: its function is called once with many runs,
`function(runs, device) -> iterator of (run, Result or Exception)`. Any other task is one run at a time,
`function(run, work_dir, device) -> Result`, and resumes by itself from what it finds in `work_dir`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from poa_bench.config_files import read_config
from poa_bench.elastic.preprocessing import say_once
from poa_bench.errors import InputError
from poa_bench.sweep.provenance import canonical_hash

if TYPE_CHECKING:
    from poa_bench.elastic.preprocessing import Preprocessing
    from poa_bench.sweep.plan import Run, Task
    from poa_bench.sweep.results import Result

LIGHT_TASKS = ("knn", "linear", "profile")
LATENCY_TASKS = ("profile",)  # what they measure is disturbed by anything that runs beside them
LONGEST = 60  # letters of a setting that a result spells out
LIGHT_FUNCTION = "poa_bench.downstream.evaluate:evaluate_light"
DENSE_FUNCTION = "poa_bench.downstream.dense:run_dense"
DENSE_LIBRARIES = tuple(
    f"{name}.{part}" for name in ("mmdet", "mmseg") for part in ("models", "datasets", "evaluation")
)


class Resolved(NamedTuple):
    """What a task entry amounts to: the names of its results, everything that is hashed, and what of it results say."""

    dataset: str
    protocols: list[str]
    config: dict[str, Any]
    said: dict[str, str | int | float]


def resolve(task: Task, training: Preprocessing | None = None, image_size: int | None = None) -> Resolved:
    """Fill in the defaults of a task entry, and replace config files by their content.

    Args:
        task: one entry of a sweep.
        training: how the training of the networks preprocessed pictures; None where that is not known.
        image_size: that the networks are built for, if any.

    Raises:
        InputError: a config cannot be found, says another data set or protocol, or a light protocol is unknown.
    """
    return _resolve_light(task, training, image_size) if task.task in LIGHT_TASKS else _resolve_dense(task, training)


def _resolve_light(task: Task, training: Preprocessing | None, image_size: int | None) -> Resolved:
    from poa_bench.downstream.evaluate import SETTINGS
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.downstream.protocols import DEFAULTS, parse_protocol

    settings = {**SETTINGS, **task.settings}
    source = settings.pop("config") or task.dataset
    if source is None:
        raise InputError(f"task {task.task!r} names no data set: dataset='digits', or settings=dict(config=PATH)")
    data = EvaluationData.load(source, settings.pop("cfg_options"))
    _check_same(task, "dataset", task.dataset, data.name)
    for remark in data.remarks(training) if task.task not in LATENCY_TASKS else ():
        say_once(remark)
    data = data.resolved(training, image_size)
    # how the images are read does not change what is measured
    described = {name: value for name, value in asdict(data).items() if name not in ("workers", "batch_size")}
    protocols = [parse_protocol(name, task.task) for name in task.protocols] or DEFAULTS[task.task]
    config = {**settings, "data": described}
    return Resolved(data.name, [protocol.name for protocol in protocols], config, leaves({**settings, **described}))


def _resolve_dense(task: Task, training: Preprocessing | None) -> Resolved:
    from poa_bench.downstream.normalisation import set_normalisation

    if "config" not in task.settings:
        raise InputError(
            f"task {task.task!r} names no config: settings=dict(config='mask-rcnn_sfp_digits.py'); tasks without one "
            f"are {', '.join(LIGHT_TASKS)}"
        )
    settings = dict(task.settings)
    name, options = settings.pop("config"), settings.pop("cfg_options", {})
    if settings:
        raise InputError(f"task {task.task!r} has unknown settings {sorted(settings)}: allowed are config, cfg_options")
    source = read_config(name, options)
    config = source.to_dict()
    if other := set_normalisation(source, training):
        taken = "the config's" if source.model.get("normalisation") == "config" else "pre-training's"
        say_once(f"config {name} has {other} of pre-training; {taken} are taken")
    said = config.get("measurement")
    if said is None:
        raise InputError(f"config {task.settings['config']} does not say what it measures: it needs `measurement`")
    _check_same(task, "task", task.task, said["task"])
    _check_same(task, "dataset", task.dataset, said["dataset"])
    _check_same(task, "protocols", task.protocols or None, [said["protocol"]])
    _check_branch(task, config)
    # the whole config would be hundreds of values: what was changed in it, and a hash of all
    said_of_it = {**leaves(options), "branch": "teacher", "content": canonical_hash(config)[:8]}
    return Resolved(said["dataset"], [said["protocol"]], {"config": config}, said_of_it)


def leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float]:
    """Nested settings as flat ones: `{'train.path': 'a'}`. Lists and truth values are JSON texts, None is left out.

    What is longer than `LONGEST` letters, such as a list of indices, is named by a hash.
    """
    flat: dict[str, str | int | float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= leaves(value, f"{prefix}{name}.")
        elif value is not None:
            plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            leaf = value if plain else json.dumps(value)
            flat[f"{prefix}{name}"] = leaf if len(str(leaf)) <= LONGEST else f"#{canonical_hash(value)[:8]}"
    return flat


def _check_branch(task: Task, config: dict[str, Any]) -> None:
    """Dense tasks fill in the checkpoint themselves, and take its teacher."""
    backbone = config.get("model", {}).get("backbone", {})
    branch = (backbone.get("init_cfg") or {}).get("branch", "teacher")
    if branch != "teacher":
        raise InputError(
            f"task {task.task!r}: model.backbone.init_cfg.branch is {branch!r}, but a sweep's runs take the 'teacher': "
            "leave it out, or train the config itself with tools/train.py"
        )


def _check_same(task: Task, field: str, given: Any, found: Any) -> None:
    if given is not None and given != found:
        raise InputError(f"task {task.task}: {field} is {given!r}, but its config measures {found!r}: leave it out")


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


def modules_for(runs: Iterable[Run]) -> list[str]:
    """What the processes that do these runs will import (missing libraries are named by whoever needs them)."""
    light = {run.task in LIGHT_TASKS for run in runs}
    names = [LIGHT_FUNCTION.split(":")[0], "poa_bench.datasets.classification"] if True in light else []
    return names + ([DENSE_FUNCTION.split(":")[0], *DENSE_LIBRARIES] if False in light else [])


def _function(name: str) -> Callable:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)
