"""What is measured of a size: one file each, see `base.Task`. Everything else finds tasks here and knows none by name.

A package of yours adds one with an entry point: `[project.entry-points."poa_bench.tasks"]`, `mine = "my_package:TASK"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from poa_bench.errors import InputError
from poa_bench.tasks.base import Protocol, Task

ENTRY_POINTS = "poa_bench.tasks"
_BUILT_IN = (
    "knn",
    "linear",
    "logistic",
    "kmeans",
    "retrieval",
    "rank",
    "calibration",
    "robustness",
    "classification",
    "detection",
    "segmentation",
    "patch_knn",
    "patch_linear",
    "depth",
    "profile",
)

_TRUTHS = {"classes": "a class for each picture", "label_maps": "label maps", "depth_maps": "depth maps"}


@lru_cache(maxsize=1)
def all_tasks() -> dict[str, Task]:
    """Every registered task by its name, in the order of reports.

    Raises:
        InputError: two of one name, or an entry point that is no `Task`.
    """
    found: dict[str, Task] = {}
    for source, task in _registered():
        if not isinstance(task, Task):
            raise InputError(f"entry point {source} of {ENTRY_POINTS} is {task!r}: it must name a poa_bench.tasks.Task")
        if task.name in found:
            raise InputError(f"two tasks are called {task.name!r}, the second is {source}: give it another name")
        found[task.name] = task
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))


def _registered() -> Iterator[tuple[str, Task]]:
    for name in _BUILT_IN:
        yield name, import_module(f"{__name__}.{name}").TASK
    for point in entry_points(group=ENTRY_POINTS):
        yield point.value, point.load()


def find_task(name: str) -> Task:
    """The task of this name. One that is not registered is what a config measures."""
    return all_tasks().get(name) or Task(name)


def light_tasks() -> dict[str, Task]:
    """The tasks that train no network, by name."""
    return {name: task for name, task in all_tasks().items() if task.is_light}


def find_light_task(name: str) -> Task:
    """The light task of this name.

    Raises:
        InputError: there is none.
    """
    if name not in light_tasks():
        raise InputError(f"unknown task {name!r}: light evaluation knows {', '.join(light_tasks())}")
    return light_tasks()[name]


def parse_protocol(name: str, task: str | None = None) -> Protocol:
    """The protocol of a light task by its name, such as `knn-k20-T0.07/1`.

    Args:
        name: as in a result row.
        task: what it must measure; any by default.

    Raises:
        InputError: no protocol has such a name, or it belongs to another task, or this code measures another version.

    >>> parse_protocol("knn-k20-T0.07/1")
    KnnProtocol(k=20, temperature=0.07)
    """
    tasks = [find_light_task(task)] if task else list(light_tasks().values())
    protocol = _of_settings(name, tasks)
    if protocol is not None and name.rpartition("/")[2] == str(protocol.version):
        return protocol
    examples = ", ".join(kind().name for each in tasks for kind in each.protocols)
    raise InputError(
        f"unknown protocol {name!r}{f' of task {task}' if task else ''}: write it like {examples} (settings, then the "
        "version that this code measures)"
    )


def check_truth(protocol: Protocol, data: str, truth: str) -> None:
    """Raise InputError where a protocol needs another truth than a data set has, see `EvaluationData`."""
    if protocol.truth not in (None, truth):
        fitting = [name for name, task in light_tasks().items() if any(kind.truth == truth for kind in task.protocols)]
        raise InputError(
            f"{protocol.name} needs {_TRUTHS[protocol.truth]}, but {data} has {_TRUTHS[truth]}: give other data, or a "
            f"task for these ({', '.join(fitting)})"
        )


def todays(name: str) -> str:
    """The name with the version that this code measures; names that are not of a light task stay as they are.

    >>> todays("linear-logreg-grid13-valsplit/1")
    'linear-logreg-grid13-valsplit/2'
    """
    protocol = _of_settings(name, light_tasks().values())
    return name if protocol is None else f"{name.rpartition('/')[0]}/{protocol.version}"


def task_of_protocol(name: str) -> str:
    """The light task that a protocol belongs to.

    Raises:
        InputError: no protocol has such a name.
    """
    kind = type(parse_protocol(name))
    return next(task.name for task in light_tasks().values() if kind in task.protocols)


def protocol_sentence(task: str, protocol: str) -> str:
    """What a protocol does, in a full sentence."""
    found = find_task(task)
    if (known := _of_settings(protocol, [found])) is not None:
        newer = todays(protocol)
        if newer == protocol:
            return known.description
        return f"Another version of `{newer}`, which measures differently: the changelog says what has changed."
    begins = [begin for begin in found.sentences if protocol.startswith(begin)]
    if begins:
        return found.sentences[max(begins, key=len)]
    return "Its settings are those of the config that each result's hash names."


def _of_settings(name: str, tasks: Iterable[Task]) -> Protocol | None:
    """The protocol whose settings the name says, whatever the version."""
    settings = name.rpartition("/")[0]
    for kind in (kind for task in tasks for kind in task.protocols):
        if match := re.fullmatch(kind.pattern, settings):
            return kind.parse(match)
    return None
