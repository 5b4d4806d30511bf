"""What an entry of a sweep's `tasks` amounts to: defaults filled in, config files replaced by their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from poa_bench.config_files import read_config
from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.elastic.preprocessing import say_once
from poa_bench.errors import InputError
from poa_bench.runs.provenance import canonical_hash
from poa_bench.tasks import check_truth, find_task, light_tasks, parse_protocol
from poa_bench.tasks.measurement import read_measurement

if TYPE_CHECKING:
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.elastic.preprocessing import Preprocessing

READ_BY_SOME = ("metric", "shifted", "truth")  # see `tasks.base.Protocol.reads`
LONGEST = 60  # letters of a setting that a result spells out


class Entry(Protocol):
    """What is read of an entry, see `poa_bench.sweep.plan.TaskEntry`."""

    task: str
    dataset: str | None
    protocols: list[str]
    settings: dict[str, Any]


class Resolved(NamedTuple):
    """What a task entry amounts to: the names of its results, everything that is hashed, and what of it results say."""

    dataset: str
    protocols: list[str]
    config: dict[str, Any]
    said: dict[str, str | int | float]


def resolve(
    task: Entry,
    training: Preprocessing | None = None,
    image_size: int | None = None,
    branch: str = DEFAULT_BRANCH,
) -> Resolved:
    """Fill in the defaults of a task entry, and replace config files by their content.

    Args:
        task: one entry of a sweep.
        training: how the training of the networks preprocessed pictures; None where that is not known.
        image_size: that the networks are built for, if any.
        branch: the one that their objective evaluates.

    Raises:
        InputError: a config cannot be found, says another data set or protocol, or a light protocol is unknown.
    """
    if find_task(task.task).is_light:
        return _resolve_light(task, training, image_size, branch)
    return _resolve_trained(task, training, branch)


def _resolve_light(task: Entry, training: Preprocessing | None, image_size: int | None, branch: str) -> Resolved:
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.tasks.light import SETTINGS, check_settings

    check_settings(task.settings, f"task {task.task!r}")
    settings = {**SETTINGS, "branch": branch, **task.settings}
    source = settings.pop("config") or task.dataset
    if source is None:
        raise InputError(f"task {task.task!r} names no data set: dataset='digits', or settings=dict(config=PATH)")
    data = EvaluationData.load(source, settings.pop("cfg_options"))
    _check_same(task, "dataset", task.dataset, data.name)
    for remark in () if find_task(task.task).is_cost else data.remarks(training):
        say_once(remark)
    data = data.resolved(training, image_size)
    protocols = [parse_protocol(name, task.task) for name in task.protocols] or find_task(task.task).defaults
    for protocol in protocols:
        check_truth(protocol, data.name, data.truth)
    described = _described(data, frozenset().union(*(protocol.reads for protocol in protocols)))
    config = {**settings, "data": described}
    return Resolved(data.name, [protocol.name for protocol in protocols], config, leaves({**settings, **described}))


def _described(data: EvaluationData, read: frozenset[str]) -> dict[str, Any]:
    """What is hashed of an evaluation config: all that changes the numbers of protocols that read these entries."""
    how = {"workers", "batch_size"}  # the images are read
    unread = {name for name in READ_BY_SOME if name not in read or getattr(data, name) is None}
    return {name: value for name, value in asdict(data).items() if name not in how | unread}


def _resolve_trained(task: Entry, training: Preprocessing | None, branch: str) -> Resolved:
    from poa_bench.downstream.normalisation import set_normalisation

    if "config" not in task.settings:
        raise InputError(
            f"task {task.task!r} names no config: settings=dict(config='mask-rcnn_sfp_digits.py'); tasks without one "
            f"are {', '.join(light_tasks())}"
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
    said = read_measurement(config, name)
    _check_same(task, "task", task.task, said.task)
    _check_same(task, "dataset", task.dataset, said.dataset)
    _check_same(task, "protocols", task.protocols or None, [said.protocol])
    _check_branch(task, config, branch)
    # the whole config would be hundreds of values: what was changed in it, and a hash of all
    said_of_it = {**leaves(options), "branch": branch, "content": canonical_hash(config)[:8]}
    return Resolved(said.dataset, [said.protocol], {"config": config}, said_of_it)


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


def _check_branch(task: Entry, config: dict[str, Any], evaluated: str) -> None:
    """Dense tasks fill in the checkpoint themselves, and take the branch that its objective evaluates."""
    backbone = config.get("model", {}).get("backbone", {})
    branch = (backbone.get("init_cfg") or {}).get("branch", evaluated)
    if branch != evaluated:
        raise InputError(
            f"task {task.task!r}: model.backbone.init_cfg.branch is {branch!r}, but a sweep's runs take {evaluated!r}: "
            "leave it out, or train the config itself with tools/train.py"
        )


def _check_same(task: Entry, field: str, given: Any, found: Any) -> None:
    if given is not None and given != found:
        raise InputError(f"task {task.task}: {field} is {given!r}, but its config measures {found!r}: leave it out")
