"""How much a run computes: by it sweeps are put in order, and times are told of what was never run.

A run's operations are those of its backbone on all pictures: three passes for each picture that a dense run trains on
(forward, and two products in backward), one for each that a light run takes features of. Heads, necks, evaluation, and
what a probe does with its features are not counted: they are no more than a factor among runs of a kind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

from poa_bench.config_files import read_config
from poa_bench.errors import InputError
from poa_bench.outside.name import is_outside
from poa_bench.tasks import find_task, parse_protocol
from poa_bench.tasks.base import NetworkProtocol
from poa_bench.tasks.patches import PatchProtocol

if TYPE_CHECKING:
    from poa_bench.elastic import SubnetSpec
    from poa_bench.runs.run import Run

# training and validation pictures of data sets that take long to read, or may not be here
PICTURES = {"imagenet": (1_281_167, 50_000), "coco2017": (118_287, 5_000)}
PASSES = 3  # of training, in units of the forward pass
REACHED = 0.05  # share of the rate of a matrix product that runs reach by this count, on two CPU cores


def operations(run: Run) -> float | None:
    """Floating-point operations of a run's backbone; None where they cannot be told without its data or libraries."""
    macs, pictures = backbone_macs(run), _pictures(run)
    return None if macs is None or pictures is None else 2.0 * macs * pictures


def backbone_macs(run: Run) -> int | None:
    """Multiply-accumulates of the run's network for one picture; None for raw pixels, and where its size is not known.

    Of runs that differ in nothing but their size and seed, the time goes with these.
    """
    side = _side(run)
    if run.spec is None or side is None:
        return None
    if is_outside(run.spec):
        return _macs_outside(_description(run), side)
    table = _macs_of_sizes(_description(run), side)
    return next((macs for spec, macs in table.items() if str(spec) == run.spec), None)


def seconds_of_protocol(run: Run) -> float | None:
    """What a run spends by its protocol alone, beside warm-up; None where that says nothing."""
    protocol = parse_protocol(run.protocol, run.task) if find_task(run.task).is_light else None
    return protocol.duration if isinstance(protocol, NetworkProtocol) else None


def seconds_per_operation() -> float:
    """Of this machine, if runs reach `REACHED` of what a product of matrices of float32 does here."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = 4096 if device == "cuda" else 512
    matrix, times = torch.ones(side, side, device=device), []
    for _ in range(5):
        start = time.perf_counter()
        (matrix @ matrix).sum().item()  # waits for the device
        times.append(time.perf_counter() - start)
    return min(times) / (2 * side**3) / REACHED


def _description(run: Run) -> str:
    """`Supernet.describe()` as JSON, which can be remembered by."""
    return json.dumps(run.settings["architecture"]) if "architecture" in run.settings else _of_file(run.checkpoint)


@lru_cache(maxsize=64)
def _of_file(checkpoint: str) -> str:
    from poa_bench.downstream.architecture import read_architecture

    return json.dumps(read_architecture(checkpoint))


@lru_cache(maxsize=64)
def _macs_of_sizes(description: str, side: tuple[int, int]) -> dict[SubnetSpec, int]:
    from poa_bench.downstream.sizes import affine_in_depths
    from poa_bench.elastic import SearchSpace
    from poa_bench.elastic.macs import count_macs

    described = json.loads(description)
    space, options = SearchSpace.from_dict(described["space"]), dict(described["options"])
    if "img_size" in options and space.family == "swin":
        options["img_size"] = side
    return affine_in_depths(space, options, lambda network: count_macs(network, side))


@lru_cache(maxsize=64)
def _macs_outside(description: str, side: tuple[int, int]) -> int:
    from torch import device

    from poa_bench.elastic.macs import count_macs
    from poa_bench.outside.network import build_described

    with device("meta"):
        return count_macs(build_described(json.loads(description)).eval(), side)


def _side(run: Run) -> tuple[int, int] | None:
    """Height and width in pixels of what the network sees."""
    if find_task(run.task).is_light:
        size = run.config.get("image_size")
        return (size, size) if isinstance(size, int) else None
    return _training(run)[0]


def _pictures(run: Run) -> float | None:
    """Passes of a picture through the network."""
    if not find_task(run.task).is_light:
        return _training(run)[1]
    protocol = parse_protocol(run.protocol, run.task)
    if isinstance(protocol, NetworkProtocol):
        return None
    if run.dataset in PICTURES:
        return float(sum(PICTURES[run.dataset]))
    found = _count(run.settings.get("config") or run.dataset, json.dumps(run.settings.get("cfg_options") or {}))
    if found is None or not isinstance(protocol, PatchProtocol) or not (side := _side(run)):
        return found
    return found * protocol.passes(run.config.get("resize"), side[0])


@lru_cache(maxsize=64)
def _count(source: str, options: str) -> float | None:
    """Pictures in all splits of an evaluation."""
    from poa_bench.downstream.images import EvaluationData
    from poa_bench.registry import DATASETS

    try:
        data = EvaluationData.load(source, json.loads(options))
        return float(sum(len(DATASETS.build(split)) for split in (data.train, data.val, data.test) if split))
    except InputError:
        return None  # they are not here


def _training(run: Run) -> tuple[tuple[int, int] | None, float | None]:
    """Size of the pictures of a dense run, and how many pass in its training."""
    return _of_config(run.settings["config"], json.dumps(run.settings.get("cfg_options") or {}), run.dataset, run.gpus)


@lru_cache(maxsize=256)
def _of_config(name: str, options: str, dataset: str, gpus: int) -> tuple[tuple[int, int] | None, float | None]:
    config = read_config(name, json.loads(options))
    loader, loop = config.get("train_dataloader", {}), config.get("train_cfg", {})
    batch = loader.get("batch_size", 1) * max(gpus, 1)
    iterations = loop.get("max_iters")
    if iterations is None and dataset in PICTURES and "max_epochs" in loop:
        iterations = loop.max_epochs * ceil(PICTURES[dataset][0] / batch)
    passed = None if iterations is None else float(PASSES * iterations * batch)
    sides = [side for step in _steps(_pipeline(loader.get("dataset", {}))) for side in _sides(step)]
    return (sides[-1] if sides else None), passed


def _pipeline(dataset: Mapping[str, Any]) -> list[Any]:
    while "pipeline" not in dataset and (inner := dataset.get("dataset") or dataset.get("datasets")):
        dataset = inner if isinstance(inner, Mapping) else inner[0]
    return dataset.get("pipeline", [])


def _steps(pipeline: list[Any]) -> Iterator[Mapping[str, Any]]:
    """All transforms, also those inside others."""
    for step in pipeline:
        if isinstance(step, Mapping):
            yield step
            yield from _steps(step.get("transforms", []))
        else:
            yield from _steps(step)


def _sides(step: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """What a transform makes of pictures; of several scales the middle one."""
    for name in ("scale", "scales", "crop_size"):
        value = step.get(name)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
            value = value[len(value) // 2]
        if isinstance(value, int):
            yield value, value
        elif isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(one, int) for one in value):
            yield tuple(value)
