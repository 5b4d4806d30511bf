"""Which sizes cannot be told apart: the groups that a tie is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from poa_bench.report.bootstrap import better
from poa_bench.report.frame import ReportData
from poa_bench.report.noise import SURE
from poa_bench.report.verdict import Score


def score_of(data: ReportData, column: str, series: str, spec: str, name: str | None = None) -> Score:
    """The score of a cell, by default under the name of its size; NaN where it was not measured."""
    cells, sign = data.cell_groups.get((series, column)), int(data.columns.sign[column])
    if cells is None or spec not in cells.index or math.isnan(cells["mean"][spec]):
        return Score(name or spec, math.nan, math.nan, sign)
    sample = data.samples.get((series, spec, column))
    return Score(name or spec, float(cells["mean"][spec]), float(cells.error[spec]), sign, sample)


@lru_cache(maxsize=256)
def beaten(data: ReportData, column: str) -> pd.DataFrame:
    """Which pre-trained sizes are worse than others beyond doubt: [one, other] is True where the other is better.

    Each is compared with all others of the column together, as `bootstrap.better` says, where outcomes were kept; the
    statement holds for every choice among them, such as those within a budget. Otherwise pairs are judged one by one by
    their standard errors. Rows and columns are (series, spec).
    """
    keys = [
        (series, spec)
        for series in data.pretrained
        if (series, column) in data.cell_groups
        for spec in data.cell_groups[series, column]["mean"].dropna().index
    ]
    scores = [score_of(data, column, *key) for key in keys]
    merits = np.array([score.merit for score in scores])
    errors = np.nan_to_num([score.error for score in scores])
    gaps = merits - merits[:, None]
    found = (gaps > 0) & (gaps > SURE * np.hypot(errors, errors[:, None]))
    places = [place for place, score in enumerate(scores) if score.sample is not None]
    sign = data.columns.sign[column]
    if len(places) > 1 and sign:
        found[np.ix_(places, places)] = better([scores[place].sample for place in places], sign)
    index = pd.MultiIndex.from_tuples(keys or [("", "")][:0], names=["series", "spec"])
    return pd.DataFrame(found, index=index, columns=index)


def group(data: ReportData, column: str, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of some sizes that cannot be told apart from the best of them, in their order."""
    worse = beaten(data, column).loc[list(keys), list(keys)].to_numpy()
    return [key for key, lost in zip(keys, worse.any(1), strict=True) if not lost]
