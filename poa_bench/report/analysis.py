"""What the numbers say: Pareto fronts, the gain of pre-training, rank correlation between tasks."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from poa_bench.report.frame import PIXELS, ReportData


def pareto_front(cost: pd.Series, score: pd.Series) -> pd.Series:
    """True where nothing costs less or the same and scores higher, or costs less and scores the same.

    Args:
        cost: lower is better.
        score: higher is better; same index. Rows with a missing cost or score are never on the front.
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
        Indexed by spec: `pretrained`, `random`, `pixels`, `gain` (pretrained - random), `gain_over_pixels`, and
        `clear`: the worst pre-trained repeat is above the best random one. Missing where one side was not measured.
    """
    ours = series_scores(data, series, column)
    random = _random_scores(data, series, column).reindex(ours.index)
    pixels = series_scores(data, PIXELS, column)["mean"]
    table = pd.DataFrame({"pretrained": ours["mean"], "random": random["mean"]})
    table["pixels"] = pixels.iloc[0] if len(pixels) else float("nan")
    table["gain"] = table.pretrained - table.random
    table["gain_over_pixels"] = table.pretrained - table.pixels
    table["clear"] = ours["min"] > random["max"]
    return table


def _random_scores(data: ReportData, series: str, column: str) -> pd.DataFrame:
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
