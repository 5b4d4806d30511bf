"""How long runs will take, from those of their kind that are finished, and from operations where none is.

A kind is a task with protocol and data set. In this order the seconds of a run are

1. the median of the finished runs of its kind and size,
2. of other sizes of its kind: seconds = a + b * operations of the backbone, fitted to the medians of the sizes that are
   finished; with one of them, in proportion to operations ** `GROWTH`,
3. only where asked (`poa-bench plan`): operations, at the rate that finished runs of other kinds reached here, or else
   of this machine (`seconds_per_operation`). Heads and data loading are not in it. A profile's protocol says its time.

A run that trains spends `START` seconds beside that, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from poa_bench.runs.results import Result
from poa_bench.runs.run import Run
from poa_bench.sweep.operations import backbone_macs, operations, seconds_of_protocol, seconds_per_operation
from poa_bench.tasks import find_task

START = 15.0  # seconds until the first iteration, and of the evaluation: measured on two busy CPU cores
GROWTH = 0.75  # larger networks reach more of a machine's rate; k-NN on two CPU cores

Kind = tuple[str, str, str]


def kind_of(item: Run | Result) -> Kind:
    """Task, protocol and data set."""
    return item.task, item.protocol, item.dataset


class Left(NamedTuple):
    """What is left of runs: seconds of those that can be told, of these `guessed` by operations alone; and the others.

    All but `seconds` are numbers of runs.
    """

    seconds: float
    runs: int
    guessed: int
    unknown: int


class Estimates:
    """Expected seconds of runs.

    Args:
        results: finished runs.
        runs: planned ones, whose sizes are known: among them those that the results are of.
        guess: of kinds that were never run, too.
        macs: of a run's backbone, for one picture.
        work: operations of a run.
        rate: seconds of an operation, asked only where no run tells it.
    """

    def __init__(
        self,
        results: Iterable[Result],
        runs: Iterable[Run] = (),
        guess: bool = False,
        macs: Callable[[Run], float | None] = backbone_macs,
        work: Callable[[Run], float | None] = operations,
        rate: Callable[[], float] = seconds_per_operation,
    ) -> None:
        self.guess, self.macs, self.work, self.rate = guess, macs, work, rate
        self._seen: dict[Kind, dict[str | None, list[float]]] = {}
        for result in results:
            self._seen.setdefault(kind_of(result), {}).setdefault(result.spec, []).append(result.seconds)
        self._examples = {(kind_of(run), run.spec): run for run in runs}
        self._fits: dict[Kind, Callable[[float], float] | None] = {}
        self._rates: dict[bool, float] = {}

    def of(self, run: Run) -> float | None:
        """Seconds, or None if nothing tells them."""
        seen = self._seen.get(kind_of(run))
        if seen is None:
            return self._guessed(run) if self.guess else None
        return median(seen[run.spec]) if run.spec in seen else self._of_another_size(run)

    def left(self, runs: Iterable[Run]) -> Left:
        """Altogether."""
        runs = list(runs)
        found = [self.of(run) for run in runs]
        known = [seconds for seconds in found if seconds is not None]
        guessed = sum(
            kind_of(run) not in self._seen and seconds is not None for run, seconds in zip(runs, found, strict=True)
        )
        return Left(sum(known), len(runs), guessed, len(runs) - len(known))

    def by_kind(self, runs: Iterable[Run]) -> dict[Kind, Left]:
        """For each kind."""
        kinds: dict[Kind, list[Run]] = {}
        for run in runs:
            kinds.setdefault(kind_of(run), []).append(run)
        return {kind: self.left(members) for kind, members in kinds.items()}

    def _of_another_size(self, run: Run) -> float:
        kind = kind_of(run)
        if kind not in self._fits:
            self._fits[kind] = self._fit(kind)
        fit = self._fits[kind]
        macs = fit and self.macs(run)
        if not macs:  # raw pixels; or it is not known how sizes differ
            return median(seconds for found in self._seen[kind].values() for seconds in found)
        return _start(run) + fit(macs)

    def _fit(self, kind: Kind) -> Callable[[float], float] | None:
        """Seconds beside the start as a function of MACs; None where no finished size is planned."""
        points = []
        for spec, seconds in self._seen[kind].items():
            example = self._examples.get((kind, spec))
            if example is None or seconds_of_protocol(example) is not None:
                continue  # profiles take as long for any size
            if macs := self.macs(example):
                points.append((macs, max(median(seconds) - _start(example), 0.0)))
        if not points:
            return None
        if len(points) == 1:
            ((known, seconds),) = points
            return lambda macs: seconds * (macs / known) ** GROWTH
        macs, seconds = np.array(points, dtype=float).T
        # relative errors count: each row is divided by its seconds; neither constant nor slope is below 0
        weights = 1 / np.maximum(seconds, 1e-3)
        (constant, slope), _ = nnls(np.stack([weights, macs / macs.max() * weights], axis=1), seconds * weights)
        return lambda other: float(constant + slope * other / macs.max())

    def _guessed(self, run: Run) -> float | None:
        if (said := seconds_of_protocol(run)) is not None:
            return said
        work = self.work(run)
        if work is None:
            return None
        light = find_task(run.task).is_light
        if light not in self._rates:
            self._rates[light] = self._rate_of(light)
        return _start(run) + work * self._rates[light] / max(run.gpus, 1)

    def _rate_of(self, light: bool) -> float:
        """Seconds of an operation: the median over finished runs of other kinds, light ones for light ones."""
        found = []
        for (kind, spec), example in self._examples.items():
            seconds = self._seen.get(kind, {}).get(spec)
            if seconds and find_task(kind[0]).is_light == light and (work := self.work(example)):
                found.append(max(median(seconds) - _start(example), 0.0) * max(example.gpus, 1) / work)
        return median(found) if found else self.rate()


def _start(run: Run) -> float:
    return 0.0 if find_task(run.task).is_light else START
