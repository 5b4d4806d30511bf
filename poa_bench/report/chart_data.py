"""The numbers that the charts read, gathered once per report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from poa_bench.report.analysis import gains, rank_correlation, standings
from poa_bench.report.figures import PUBLISHED, ChartData
from poa_bench.report.frame import PIXELS, ReportData, axes
from poa_bench.report.origin import origins
from poa_bench.report.published import beside, main_rows, read_published
from poa_bench.report.robustness_charts import robustness_points
from poa_bench.report.tables import cost_scale, cost_title, series_order
from poa_bench.report.verdict import standing_text


def chart_data(data: ReportData, curves: pd.DataFrame | None = None) -> ChartData:
    """Scores `s0, s1, ...`, their spread `e0, ...`, standard errors `n0, ...` and intervals `l0, ...` to `h0, ...`,
    costs `c0, ...`, and `b0, ...`, which is 1 where the cost was measured on a busy machine.

    Of pre-trained sizes also gains `g0, ...`, `k0, ...` (clear or not, if known) and `v0, ...` (places in `worth`: what
    the score is worth).
    Sizes that can be cut have `export`, the command, and `origin`, what it cuts.
    """
    scores = {f"s{place}": name for place, name in enumerate(data.scores)}
    costs = {f"c{place}": name for place, name in enumerate(data.costs.columns)}
    table = (data.costs / [cost_scale(name) for name in data.costs.columns]).set_axis(list(costs), axis=1)
    wide = data.wide().set_axis(list(scores), axis=1)
    spread = data.wide("std").set_axis([name.replace("s", "e") for name in scores], axis=1)
    table = table.reindex(table.index.union(wide.index)).join(wide).join(spread.dropna(axis=1, how="all"))
    errors = data.wide("error").set_axis([name.replace("s", "n") for name in scores], axis=1)
    table = table.join(errors.dropna(axis=1, how="all"))
    for end, letter in (("low", "l"), ("high", "h")):
        ends = data.wide(end).set_axis([name.replace("s", letter) for name in scores], axis=1)
        table = table.join(ends.dropna(axis=1, how="all"))
    worth = pd.concat({short.replace("s", "v"): _worth(data, name) for short, name in scores.items()}, axis=1)
    texts = sorted(set(worth.stack()))
    table = table.join(worth.apply(lambda column: column.map({text: place for place, text in enumerate(texts)})))
    gained = {}
    for short, name in scores.items() if data.pretrained else ():
        gain = pd.concat({series: gains(data, series, name) for series in data.pretrained})
        if gain.gain.notna().any():
            gained[short.replace("s", "g")] = gain.gain
            gained[short.replace("s", "k")] = gain.clear.astype(float).where(gain.noise_known)
    table = table.join(pd.DataFrame(gained, index=table.index))
    busy = data.disturbed.set_axis([name.replace("c", "b") for name in costs], axis=1).astype(float)
    table = table.join(busy.where(busy > 0).dropna(axis=1, how="all"))
    table = table.join(origins(data)[["export", "origin"]]).reset_index()
    sized = [spec for spec in table.spec.unique() if spec]
    table = table.merge(axes(sized)[["width", "depth_1", "depth_2"]], left_on="spec", right_index=True, how="left")
    pairs = [rank_correlation(data, series).assign(series=series) for series in data.pretrained]
    return ChartData(
        rows=_records(table),
        pairs=_records(pd.concat(pairs)) if pairs else [],
        curves=[] if curves is None else _records(curves),
        changed=robustness_points(data),
        published=_records(published_points(data, beside(data, read_published()), scores, costs)),
        scores=scores,
        worth=texts,
        signs={short: int(data.columns.sign[name]) for short, name in scores.items()},
        costs={short: cost_title(name) for short, name in costs.items()},
        series=series_order(data),
        random=[name for name in data.controls if name != PIXELS],
    )


def _worth(data: ReportData, column: str) -> pd.Series:
    found = {
        (series, spec): standing_text(standing, with_numbers=False)
        for series in data.pretrained
        for spec, standing in standings(data, series, column).items()
    }
    index = pd.MultiIndex.from_tuples(found or [("", "")][:0], names=["series", "spec"])
    return pd.Series(found.values(), index=index, dtype=object)


def published_points(
    data: ReportData, published: pd.DataFrame, scores: dict[str, str], costs: dict[str, str]
) -> pd.DataFrame:
    """Published values with a place in our charts: one row per value, at the cost that the same size has here.

    Args:
        published: of `beside`: only task, metric and data set that were measured here, so that axes agree.
        scores, costs: short name -> column.

    Returns:
        `spec`, `method`, `protocol`, `epochs`, `source`, `series` (of `figures.PUBLISHED`), the costs, and the value
        under the short name of its score.
    """
    rows = pd.concat([main_rows(same) for _, same in published.groupby("column")]) if len(published) else published
    known = (data.costs / [cost_scale(name) for name in data.costs.columns]).set_axis(list(costs), axis=1)
    ours = known.reindex(series_order(data), level="series")  # pre-trained networks before controls
    rows = rows.join(ours.groupby("spec").first(), on="spec", how="inner")
    for short, column in scores.items():
        rows[short] = rows.value.where(rows.column == column)
    rows["series"] = [PUBLISHED[0] if method == "POA" else PUBLISHED[1] for method in rows.method]
    rows["epochs"] = rows.epochs.where(rows.epochs != "", "not stated")
    return rows[["spec", "method", "series", "protocol", "epochs", "source", *costs, *scores]]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, seven significant digits; what is missing is left out."""
    return [
        {name: _json_value(value) for name, value in row.items() if value is not None and value == value}
        for row in table.to_dict("records")
    ]


def _json_value(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value
