"""Finds the best size within limits: all of them where they are few, evolution where they are many.

The evolution is AutoFormer's (Chen et al., ICCV 2021, section 3.4): the best sizes so far are parents; children come by
mutation (some of their dimensions move) and crossover (each dimension from one of two parents). Two things are made for
small budgets: no size is measured twice, and half of the first population are the costliest sizes that the limits
allow, because accuracy grows with cost nearly everywhere (paper, tables 13-15).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poa_bench.elastic import SearchSpace, SubnetSpec
from poa_bench.elastic.preprocessing import Preprocessing, known_image_size
from poa_bench.elastic.training_checkpoint import read_training_checkpoint
from poa_bench.errors import InputError
from poa_bench.printed import command
from poa_bench.runs.results import VALIDATION, Result, read_result
from poa_bench.runs.run import Run
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.sweep.run_folder import is_done
from poa_bench.sweep.scheduler import run_sweep
from poa_bench.tasks import find_light_task, light_tasks

EXHAUSTIVE = 64  # candidates up to which all are measured
PARENTS = 3
MUTATION = 0.5  # probability that a dimension moves
FIRST = 1 / 3  # of the budget: the first population

Score = Callable[[list[SubnetSpec]], Mapping[SubnetSpec, float]]


@dataclass(frozen=True)
class Limits:
    """What a size may cost at most; None is no limit. Latency is the median at batch 1 on this machine."""

    parameters: float | None = None
    macs: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Found:
    """What a search has measured, of `candidates` sizes within the limits.

    Attributes:
        scores: what sizes were chosen by, best first.
        metric: of `scores`: `val_<metric>` where the task has validation scores, else the task's own.
        reported: the primary score of each of these sizes, and `reported_metric`, its name.
        split: which one `reported` is of.
    """

    scores: dict[SubnetSpec, float]
    metric: str
    reported: dict[SubnetSpec, float]
    reported_metric: str
    split: str
    candidates: int
    results: Path

    @property
    def best(self) -> SubnetSpec:
        """The best size."""
        return next(iter(self.scores))


def evolve(candidates: Mapping[SubnetSpec, float], score: Score, budget: int, seed: int = 0) -> dict[SubnetSpec, float]:
    """Measure at most `budget` candidates.

    Args:
        candidates: all sizes allowed, with their cost.
        score: measures sizes (one generation at a time); higher is better. A size it leaves out counts as worst.
        budget: how many sizes are measured.
        seed: the same seed asks for the same sizes, so that an interrupted search goes on from its results.

    Returns:
        The score of every size measured, best first.
    """
    budget = min(budget, len(candidates))
    draw = random.Random(f"search/{seed}")
    seen: dict[SubnetSpec, float] = {}
    generation = _first_population(candidates, min(budget, max(2, round(budget * FIRST))), draw)
    while generation:
        found = score(generation)
        seen |= {spec: found.get(spec, float("-inf")) for spec in generation}
        parents = sorted(seen, key=seen.__getitem__, reverse=True)[:PARENTS]
        size = min(max(2, budget // 12), budget - len(seen))
        generation = _children(parents, [spec for spec in candidates if spec not in seen], size, draw)
    return dict(sorted(seen.items(), key=lambda item: -item[1]))


def _first_population(candidates: Mapping[SubnetSpec, float], size: int, draw: random.Random) -> list[SubnetSpec]:
    costliest = sorted(candidates, key=candidates.__getitem__, reverse=True)[: size // 2]
    rest = [spec for spec in candidates if spec not in costliest]
    return costliest + draw.sample(rest, min(size - len(costliest), len(rest)))


def _children(parents: list[SubnetSpec], unseen: list[SubnetSpec], size: int, draw: random.Random) -> list[SubnetSpec]:
    """New sizes, half by mutation and half by crossover; any unseen ones where parents have no more new children."""
    left, children = set(unseen), []
    dimensions = [sorted(set(values)) for values in zip(*map(_genes, unseen + parents), strict=True)]
    for _ in range(100 * size):
        if len(children) == size:
            return children
        if draw.random() < 0.5:
            genes = _mutated(_genes(draw.choice(parents)), dimensions, draw)
        else:
            genes = tuple(map(draw.choice, zip(*(_genes(draw.choice(parents)) for _ in range(2)), strict=True)))
        child = SubnetSpec(parents[0].family, genes[0], tuple(genes[1:]))
        if child in left:
            left.remove(child)
            children.append(child)
    rest = [spec for spec in unseen if spec in left]
    return children + draw.sample(rest, min(size - len(children), len(rest)))


def _genes(spec: SubnetSpec) -> tuple[int, ...]:
    return (spec.width, *spec.depths)


def _mutated(genes: tuple[int, ...], dimensions: list[list[int]], draw: random.Random) -> tuple[int, ...]:
    """Some dimensions move to a value near by, seldom far away."""
    moved = []
    for value, allowed in zip(genes, dimensions, strict=True):
        place = allowed.index(value)
        if draw.random() < MUTATION:
            place += draw.choice((-1, 1)) * (1 + int(draw.expovariate(1)))
        moved.append(allowed[min(max(place, 0), len(allowed) - 1)])
    return tuple(moved)


def search(
    checkpoint: str,
    results: str,
    task: str = "knn",
    dataset: str = "digits",
    protocol: str | None = None,
    settings: dict[str, Any] | None = None,
    limits: Limits = Limits(),
    budget: int | None = None,
    seed: int = 0,
    report: Callable[[str], None] = print,
    **where: Any,
) -> Found:
    """The best size of a checkpoint within limits; every measurement is a result file like those of a sweep.

    Args:
        checkpoint: of a pre-training.
        results: the folder; what it holds already is not measured again.
        task: what is to be best at, a light task. Sizes are chosen by the validation score of its primary metric where
            it has one, else by the score itself, and `describe` says so.
        protocol: of the task; its first default if None.
        settings: of the task, see `run_light`.
        budget: sizes measured at most; by default all where they are at most 64, else a quarter of them.
        seed: of the evolution.
        report: told what is going on, a line at a time.
        where: `executor`, `jobs`, `gpus`, `retries` of `run_sweep`.

    Raises:
        InputError: no size is within the limits, an argument is not among those allowed, or results that are there lack
            the validation score that others have.
    """
    find_light_task(task)
    entry = {"task": task, "dataset": dataset, "protocols": [protocol] if protocol else [], "settings": settings or {}}
    sweep = {"name": "search", "checkpoints": [checkpoint], "results": results}
    measure = _Measure({**sweep, "tasks": [entry]}, report, where)
    candidates = _within(checkpoint, limits)
    if limits.latency_ms is not None:
        cost = next(name for name, each in light_tasks().items() if each.is_cost)
        profile = {"task": cost, "dataset": dataset, "settings": settings or {}}
        latency = _Measure({**sweep, "tasks": [profile]}, report, where)
        measure = _Timed(measure, latency, limits.latency_ms)
    budget = budget or (len(candidates) if len(candidates) <= EXHAUSTIVE else -(-len(candidates) // 4))
    report(f"{len(candidates)} sizes within the limits, {min(budget, len(candidates))} to be measured")
    if budget >= len(candidates):
        found = measure(list(candidates))
        scores = dict(sorted(found.items(), key=lambda item: -item[1]))
    else:
        scores = {spec: s for spec, s in evolve(candidates, measure, budget, seed).items() if s > float("-inf")}
    if not scores:
        raise InputError(f"none of the sizes measured is within the limits and has a result in {results}")
    chosen = {spec: measure.measured[spec] for spec in scores}
    reported = {spec: result.primary for spec, result in chosen.items()}
    any_of_them = next(iter(chosen.values()))
    about = (next(iter(any_of_them.metrics)), any_of_them.split)
    return Found(scores, measure.metric, reported, *about, len(candidates), Path(results))


def _within(checkpoint: str, limits: Limits) -> dict[SubnetSpec, float]:
    """Sizes within the limits that need no measuring, with their MACs."""
    from poa_bench.downstream.sizes import sizes_table

    description = read_training_checkpoint(checkpoint)["meta"]["poa_bench"]
    space, options = SearchSpace.from_dict(description["space"]), description["options"]
    image_size = known_image_size(options, Preprocessing.from_dict(description.get("preprocessing")))
    table = sizes_table(space, options, image_size or 224)
    allowed = table[
        (table.parameters <= (limits.parameters or table.parameters.max()))
        & (table.macs <= (limits.macs or table.macs.max()))
    ]
    if allowed.empty:
        raise InputError(
            f"no size is within the limits: the smallest has {table.parameters.min():,} parameters and "
            f"{table.macs.min():,} MACs"
        )
    return {space.parse(row.spec): float(row.macs) for row in allowed.itertuples()}


class _Measure:
    """Scores sizes by running what is missing of a sweep of one task."""

    def __init__(self, sweep: dict[str, Any], report: Callable[[str], None], where: dict[str, Any]) -> None:
        self.runs = self._first_protocol(expand(make_sweep(sweep)))
        self.sweep, self.report, self.where = sweep, report, where
        self.metric = ""
        self.measured: dict[SubnetSpec, Result] = {}

    @staticmethod
    def _first_protocol(runs: Sequence[Run]) -> dict[str, Run]:
        return {run.spec: run for run in runs if run.protocol == runs[0].protocol}

    def __call__(self, specs: Sequence[SubnetSpec]) -> dict[SubnetSpec, float]:
        results = self.results(specs)
        self.measured |= results
        for spec, result in results.items():
            self.metric = self.metric or _judged_by(result)
            if self.metric != _judged_by(result):
                raise InputError(
                    f"{self.sweep['results']} holds results with validation scores and without ({result.run_id} has "
                    f"{', '.join(result.metrics)}), which cannot be compared: give the search another folder"
                )
            self.report(f"{spec}: {self.metric} {result.metrics[self.metric]:.2f}")
        return {spec: result.metrics[self.metric] for spec, result in results.items()}

    def results(self, specs: Sequence[SubnetSpec]) -> dict[SubnetSpec, Result]:
        """The result of each size, measured now if need be; sizes whose run fails are left out, with a line."""
        folder = Path(self.sweep["results"])
        runs = {spec: self.runs[str(spec)] for spec in specs}
        if not all(is_done(folder, run.id) for run in runs.values()):
            protocol = next(iter(runs.values())).protocol
            task = {**self.sweep["tasks"][0], "specs": [str(spec) for spec in specs], "protocols": [protocol]}
            summary = run_sweep(make_sweep({**self.sweep, "tasks": [task]}), show=False, **self.where)
            if summary.exit_code:
                self.report(str(summary))
        done = {spec: run for spec, run in runs.items() if is_done(folder, run.id)}
        return {spec: read_result(folder / run.id / "result.json") for spec, run in done.items()}


def _judged_by(result: Result) -> str:
    """The metric that a size is chosen by: the validation score of the primary one, where there is one."""
    primary = next(iter(result.metrics))
    judge = f"{VALIDATION}{primary}"
    return judge if judge in result.metrics else primary


class _Timed:
    """Scores only the sizes that are fast enough on this machine."""

    def __init__(self, measure: _Measure, latency: _Measure, limit: float) -> None:
        self.measure, self.latency, self.limit = measure, latency, limit

    @property
    def metric(self) -> str:
        """The metric that counts."""
        return self.measure.metric

    @property
    def measured(self) -> dict[SubnetSpec, Result]:
        """The results of what counts."""
        return self.measure.measured

    def __call__(self, specs: Sequence[SubnetSpec]) -> dict[SubnetSpec, float]:
        profiles = self.latency.results(specs)
        fast = [spec for spec, result in profiles.items() if result.primary <= self.limit]
        for spec, result in ((spec, profiles[spec]) for spec in profiles if spec not in fast):
            busy = ", but other work disturbed it" if "disturbed" in result.facts else ""
            self.measure.report(f"{spec}: {result.primary:.2f} ms, over the limit{busy}")
        return self.measure(fast) if fast else {}


def describe(found: Found, checkpoint: str, most: int = 5) -> str:
    """What `poa-bench search` prints at the end."""
    lines = [f"measured {len(found.scores)} of {found.candidates} sizes within the limits; results in {found.results}"]
    chosen_on_test = found.metric == found.reported_metric
    for spec, score in list(found.scores.items())[:most]:
        shown = "" if chosen_on_test else f", {found.reported_metric} {found.reported[spec]:.2f}"
        lines.append(f"  {spec}: {found.metric} {score:.2f}{shown}")
    if chosen_on_test:
        lines.append(
            f"there are no validation scores: chosen on the {found.split} split itself, so its score is likely "
            "to be a little too high (an evaluation config with `val`, or --task linear, has some)"
        )
    else:
        lines.append(f"chosen by {found.metric}; nothing was chosen on the {found.split} split")
    lines.append(f"chosen: {found.best}; {command('export', checkpoint, found.best, o=f'{found.best}.safetensors')}")
    return "\n".join(lines)
