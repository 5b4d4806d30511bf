"""What the numbers say: Pareto fronts, the gain of pre-training, rank correlation between tasks."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import pandas as pd

from poa_bench.report.frame import PIXELS, RANDOM, ReportData
from poa_bench.report.noise import tied
from poa_bench.report.verdict import Score, Standing, Verdict, standing


def pareto_front(cost: pd.Series, score: pd.Series) -> pd.Series:
    """True where nothing costs less or the same and scores higher, or costs less and scores the same.

    Args:
        cost: lower is better.
        score: higher is better (scores times the column's `sign`); same index. Rows with a missing cost or score are
            never on the front.

    >>> list(pareto_front(pd.Series([1, 2, 3]), pd.Series([50.0, 49.0, 51.0])))
    [True, False, True]
    """
    known = pd.DataFrame({"cost": cost, "score": score}).dropna()
    known = known.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    best_before = known.score.cummax().shift(fill_value=float("-inf"))
    front = (known.score > best_before).reindex(cost.index, fill_value=False)
    return front.astype(bool)


def series_scores(data: ReportData, series: str, column: str) -> pd.DataFrame:
    """Cells of one series and column, indexed by spec in order of size; see `ReportData.cells`."""
    return data.cell_groups.get((series, column), data.cells.iloc[:0].set_index("spec"))


@lru_cache(maxsize=1024)
def gains(data: ReportData, series: str, column: str) -> pd.DataFrame:
    """What pre-training brings at each size, against the same size at random initialisation and against raw pixels.

    Returns:
        Indexed by spec: `pretrained`, `random`, `pixels`, their standard errors as `..._error`, `chance`, `gain` (by
        how much the pre-trained one is better than the random one: negative where it is worse, missing where neither
        more nor less is better), `gain_over_pixels`, and whether they are more than noise: `clear` (of `gain`; the
        worst pre-trained repeat is better than the best random one, too) and `clear_of_pixels`; `noise_known`, whether
        anything is known of the noise of `gain`. Missing where one side was not measured.
    """
    ours = series_scores(data, series, column)
    random = random_scores(data, series, column).reindex(ours.index)
    pixels = series_scores(data, PIXELS, column)
    table = pd.DataFrame({"pretrained": ours["mean"], "random": random["mean"]})
    table["pixels"] = pixels["mean"].iloc[0] if len(pixels) else float("nan")
    table["pretrained_error"], table["random_error"] = ours.error, random.error
    table["pixels_error"] = pixels.error.iloc[0] if len(pixels) else float("nan")
    table["chance"] = ours.chance
    sign = data.columns.sign[column]
    factor = sign or float("nan")  # of what has no better side there is no gain
    table["gain"] = factor * (table.pretrained - table.random)
    table["gain_over_pixels"] = factor * (table.pretrained - table.pixels)
    apart = ours["min"] > random["max"] if sign > 0 else ours["max"] < random["min"]
    table["clear"] = _better(table, "random", sign) & apart
    table["noise_known"] = table[["pretrained_error", "random_error"]].notna().any(axis=1)
    table["clear_of_pixels"] = _better(table, "pixels", sign)
    return table


def _better(table: pd.DataFrame, other: str, sign: int) -> pd.Series:
    """Where the pre-trained score is better than another one by more than the noise."""
    columns = ["pretrained", "pretrained_error", other, f"{other}_error"]
    rows = table[columns].itertuples(index=False, name=None)
    known = [
        sign * ours > sign * theirs and not tied((ours, error), (theirs, noise)) for ours, error, theirs, noise in rows
    ]
    return pd.Series(known, index=table.index, dtype=bool)


@lru_cache(maxsize=1024)
def standings(data: ReportData, series: str, column: str) -> dict[str, Standing]:
    """What the score of each size is worth against the same size at random initialisation, raw pixels and chance.

    Empty for a number of which neither more nor less is better.
    """
    sign, found = data.columns.sign[column], {}
    if not sign:
        return found
    for row in gains(data, series, column).dropna(subset=["pretrained"]).itertuples():
        controls = [
            Score(RANDOM, row.random, row.random_error, sign),
            Score(PIXELS, row.pixels, row.pixels_error, sign),
        ]
        found[row.Index] = standing(Score(row.Index, row.pretrained, row.pretrained_error, sign), controls, row.chance)
    return found


def verdict(data: ReportData, column: str, rows: pd.DataFrame, chosen: Hashable | None = None) -> Verdict:
    """What may be said about one of several sizes.

    Args:
        rows: `series`, `spec`, `score` and `error`, one row per size.
        chosen: index of the row that is spoken of; by default the best score.
    """
    sign = data.columns.sign[column]
    chosen = (sign * rows.score).idxmax() if chosen is None else chosen
    several = rows.series.nunique() > 1
    names = rows.spec + (" (" + rows.series + ")") * several
    scores = {row: Score(names[row], rows.score[row], rows.error[row], sign) for row in rows.index}
    found = [gains(data, series, column).loc[own.spec] for series, own in rows.groupby("series", sort=False)]
    found = pd.concat(found, ignore_index=True)
    controls = [Score(PIXELS, found.pixels.max(), found.pixels_error.max(), sign)]  # the same in every row
    if found.random.notna().any():
        best = found.loc[(sign * found.random).idxmax()]
        controls.append(Score(RANDOM, best.random, best.random_error, sign))
    others = tuple(score for row, score in scores.items() if row != chosen)
    return Verdict(scores[chosen], others, standing(scores[chosen], controls, found.chance.max()))


def series_rows(data: ReportData, series: str, column: str) -> pd.DataFrame:
    """The measured sizes of one series in order of size, as `verdict` reads them."""
    scores = series_scores(data, series, column).dropna(subset=["mean"]).reset_index()
    return scores.rename(columns={"mean": "score"}).assign(series=series)[["series", "spec", "score", "error"]]


def random_scores(data: ReportData, series: str, column: str) -> pd.DataFrame:
    """Cells of the random networks that are of the series' sizes: with as many parameters, and of its architecture.

    Where there are several series of random networks, each is of another architecture.
    """
    random = [name for name in data.controls if name != PIXELS]
    if len(random) > 1:
        own = set(data.long["config.architecture"][data.long.series == series].dropna())
        fits = data.long.series.isin(random) & data.long["config.architecture"].isin(own)
        random = sorted(set(data.long.series[fits]))
    if len(random) != 1:
        return series_scores(data, "", column)
    scores = series_scores(data, random[0], column)
    theirs, ours = (data.costs.parameters[name].reindex(scores.index) for name in (random[0], series))
    return scores[(theirs == ours) | theirs.isna() | ours.isna()]


def rank_correlation(data: ReportData, series: str) -> pd.DataFrame:
    """Spearman's rank correlation between the primary scores over the sizes of one series.

    Returns:
        One row per pair of columns: `first`, `second`, `rho`, `sizes` (with both scores); `rho` is missing below 3
        sizes or where a score is the same at every size.
    """
    scores = data.wide()[data.primaries].xs(series)
    rho = scores.corr(method="spearman", min_periods=3)
    sizes = scores.notna().astype(int).T @ scores.notna().astype(int)
    pairs = [(first, second, rho.loc[first, second], sizes.loc[first, second]) for first in rho for second in rho]
    return pd.DataFrame(pairs, columns=["first", "second", "rho", "sizes"])
