"""The scores of a report with what chance may have made of them: from the outcomes beside results to intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report.bootstrap import Sample, draw, error_of, interval
from poa_bench.tasks import all_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poa_bench.report.bootstrap import Pictures
    from poa_bench.runs.outcomes import Outcome
    from poa_bench.runs.results import Result

Cell = tuple[str, str, str]  # series, spec, column
_SAID = ["series", "spec", "column", "run_id", "metric", "dataset", "split", "seed", "pretraining", "value"]


class Draws:
    """The draws of runs and metrics that were asked for.

    Args:
        outcomes: by run id and metric; files are read when they are needed.

    Attributes:
        unread: why an outcome file could not be read, by run id; its scores are as if it were not there.
    """

    def __init__(self, outcomes: Mapping[str, Mapping[str, Outcome]] | None = None) -> None:
        self.unread: dict[str, str] = {}
        self._outcomes = outcomes or {}
        self._found: dict[tuple[str, str], tuple[NDArray, int]] = {}

    @classmethod
    def of_results(cls, results: Iterable[Result]) -> Draws:
        """Of results in memory, or read by `load_results`."""
        return cls({result.run_id: result.outcomes for result in results if result.outcomes_sha256 or result.outcomes})

    def fill(self, rows: Iterable[Any]) -> None:
        """Draw, at the same pictures together, for rows of the long table (`run_id`, `metric`, `dataset`, `split`)."""
        if self._outcomes:
            all_tasks()  # they know kinds of outcomes of their own
        groups: dict[Pictures, dict[Hashable, Outcome]] = {}
        for row in rows:
            outcome = self._outcome(row.run_id, row.metric)
            if outcome is not None and (row.run_id, row.metric) not in self._found:
                pictures = (row.dataset, outcome.split or row.split, outcome.pictures)
                groups.setdefault(pictures, {})[row.run_id, row.metric] = outcome
        for pictures, outcomes in groups.items():
            self._found |= {key: (found, pictures[-1]) for key, found in draw(outcomes, pictures).items()}

    def _outcome(self, run: str, metric: str) -> Outcome | None:
        if run not in self._outcomes or run in self.unread:
            return None
        try:
            return self._outcomes[run].get(metric)
        except InputError as error:  # the report says it, and falls back on what it knew before
            self.unread[run] = str(error)
            return None

    def sample(self, rows: Iterable[Any], repeats: Iterable[Hashable]) -> Sample | None:
        """The score of some runs, which were drawn before; None where one of them has no outcomes.

        Args:
            rows: `run_id`, `metric` and `value`, one per run.
            repeats: which repeat each is of; a repeat's score is the mean of its runs.
        """
        groups: dict[Hashable, list[Any]] = {}
        for row, name in zip(rows, repeats, strict=True):
            if (row.run_id, row.metric) not in self._found:
                return None
            groups.setdefault(name, []).append(row)
        names = sorted(groups, key=str)
        if not names:
            return None
        found = {name: [self._found[row.run_id, row.metric] for row in groups[name]] for name in names}
        return Sample(
            tuple(names),
            np.array([np.mean([row.value for row in groups[name]]) for name in names]),
            np.stack([np.mean([drawn for drawn, _ in found[name]], axis=0) for name in names]),
            min(pictures for some in found.values() for _, pictures in some),
        )


def cell_samples(latest: pd.DataFrame, draws: Draws) -> dict[Cell, Sample]:
    """The sample of every cell whose runs all have outcomes.

    Args:
        latest: the newest results of the long table; one row per run.
        draws: of these results; filled here.
    """
    cells: dict[Cell, list[Any]] = {}
    rows = list(latest[_SAID].itertuples(index=False))
    draws.fill(rows)
    for row in rows:
        cells.setdefault((row.series, row.spec, row.column), []).append(row)
    found = {cell: draws.sample(own, repeat_names(own)) for cell, own in cells.items()}
    return {cell: sample for cell, sample in found.items() if sample is not None}


def repeat_names(rows: Iterable[Any]) -> list[Hashable]:
    """Pre-trainings where there are several, else measurement seeds."""
    several = len({row.pretraining for row in rows}) > 1
    return [row.pretraining if several else row.seed for row in rows]


def with_intervals(cells: pd.DataFrame, samples: Mapping[Cell, Sample], shares: Mapping[str, bool]) -> pd.DataFrame:
    """Cells with `low` and `high`, the 95 % interval, and with the bootstrap's `error`, where there are samples.

    Args:
        cells: `series`, `spec`, `column`, `mean`, and `error` as `noise.py` knows it.
        samples: by cell.
        shares: by column, whether the number is a percentage of something.
    """
    cells = cells.assign(low=np.nan, high=np.nan)
    found = {}
    for row in cells[["series", "spec", "column", "mean"]].dropna().itertuples():
        if (sample := samples.get((row.series, row.spec, row.column))) is not None:
            found[row.Index] = (error_of(sample), *interval(sample, shares[row.column]))
    if found:
        cells.loc[list(found), ["error", "low", "high"]] = list(found.values())
    return cells
