"""What the numbers say: Pareto fronts, the gain of pre-training, rank correlation between tasks."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import numpy as np
import pandas as pd

from poa_bench.report.frame import PIXELS, RANDOM, ReportData
from poa_bench.report.ties import beaten, score_of
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
    rivals = {spec: _rivals(data, series, column, spec) for spec in table.index}
    clear = {spec: [own.better(control) for control in controls] for spec, (own, *controls) in rivals.items()}
    table["clear"] = pd.Series({spec: found[0] for spec, found in clear.items()}, dtype=bool) & apart
    table["noise_known"] = table[["pretrained_error", "random_error"]].notna().any(axis=1)
    table["clear_of_pixels"] = pd.Series({spec: found[1] for spec, found in clear.items()}, dtype=bool)
    return table


def _rivals(data: ReportData, series: str, column: str, spec: str) -> tuple[Score, Score, Score]:
    """The score of a size, of the same size at random initialisation, and of raw pixels; NaN where not measured."""
    random = random_scores(data, series, column)
    return (
        score_of(data, column, series, spec),
        score_of(data, column, random.series[spec] if spec in random.index else "", spec, RANDOM),
        score_of(data, column, PIXELS, "", PIXELS),
    )


@lru_cache(maxsize=1024)
def standings(data: ReportData, series: str, column: str) -> dict[str, Standing]:
    """What the score of each size is worth against the same size at random initialisation, raw pixels and chance.

    Empty for a number of which neither more nor less is better.
    """
    sign, found = data.columns.sign[column], {}
    if not sign:
        return found
    for spec, chance in gains(data, series, column).dropna(subset=["pretrained"]).chance.items():
        own, *controls = _rivals(data, series, column, spec)
        found[spec] = standing(own, controls, chance)
    return found


def verdict(data: ReportData, column: str, rows: pd.DataFrame, chosen: Hashable | None = None) -> Verdict:
    """What may be said about one of several sizes.

    Args:
        rows: `series`, `spec` and `score`, one row per size.
        chosen: index of the row that is spoken of; by default the best score.
    """
    sign = data.columns.sign[column]
    chosen = (sign * rows.score).idxmax() if chosen is None else chosen
    several = rows.series.nunique() > 1
    names = rows.spec + (" (" + rows.series + ")") * several
    keys = list(zip(rows.series, rows.spec, strict=True))
    scores = [score_of(data, column, *key, name) for key, name in zip(keys, names, strict=True)]
    place = rows.index.get_loc(chosen)
    own = scores[place]
    random = [_rivals(data, series, column, spec)[1] for series, spec in keys]
    random = sorted((score for score in random if score.mean == score.mean), key=lambda each: each.merit)
    controls = [score_of(data, column, PIXELS, "", PIXELS), *random[-1:]]
    chance = max(gains(data, series, column).chance.max() for series in set(rows.series))
    worse = beaten(data, column).loc[keys, keys].to_numpy()
    others = np.arange(len(keys)) != place
    ahead = worse[place]
    tied = others & ~worse.any(1) & (not ahead.any())
    return Verdict(
        own,
        _chosen(scores, others),
        standing(own, controls, chance),
        _chosen(scores, tied),
        _chosen(scores, ahead),
    )


def _chosen(scores: list[Score], mask: np.ndarray) -> tuple[Score, ...]:
    return tuple(score for score, taken in zip(scores, mask, strict=True) if taken)


def series_rows(data: ReportData, series: str, column: str) -> pd.DataFrame:
    """The measured sizes of one series in order of size, as `verdict` reads them."""
    scores = series_scores(data, series, column).dropna(subset=["mean"]).reset_index()
    return scores.rename(columns={"mean": "score"}).assign(series=series)[["series", "spec", "score", "error"]]


@lru_cache(maxsize=1024)
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
