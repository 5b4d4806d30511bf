"""Tables for people: numbers with units and spread, a dash where nothing was measured, the best in bold."""

from __future__ import annotations

import math
import re

import pandas as pd

from poa_bench.report.frame import ReportData, axes, sort_specs

DASH = "–"
MARK = " †"  # behind what was measured on a busy machine
_SCALES = {"parameters": ("params (M)", 1e6), "macs": ("MACs (G)", 1e9), "weights": ("weights, float32 (MB)", 1e6)}
_PROFILED = re.compile(r"(?P<what>.+?)_(?P<unit>ms|mb)_batch(?P<batch>\d+)(?P<rest>.*)")


def cost_title(cost: str) -> str:
    """Column title of a cost with its unit, such as `params (M)` or `latency p50, batch 1 (ms)`."""
    quantity, sign, variant = cost.partition(" · ")
    if quantity in _SCALES:
        return _SCALES[quantity][0] + sign + variant
    if match := _PROFILED.fullmatch(cost):
        unit = {"ms": "ms", "mb": "MB"}[match["unit"]]
        return f"{match['what'].replace('_', ' ')}, batch {match['batch']} ({unit}){match['rest']}"
    return cost.replace("_", " ")


def cost_scale(cost: str) -> float:
    """What a cost is divided by for show: 1e6 for `parameters`, 1 where its unit is shown as it is."""
    quantity = cost.partition(" · ")[0]
    return _SCALES[quantity][1] if quantity in _SCALES else 1.0


def number(value: float) -> str:
    """Four significant digits, no exponent, never rounded to nothing; a dash for a missing value."""
    if value is None or math.isnan(value):
        return DASH
    if value == 0:
        return "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def score(mean: float, std: float = math.nan, decimals: int = 2) -> str:
    """`76.80`, or `76.80 ± 0.12` where there is a spread over repeats."""
    if mean is None or math.isnan(mean):
        return DASH
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(std) else f"{text} ± {std:.{decimals}f}"


def decimals_of(data: ReportData, column: str) -> int:
    """2 decimals for percentages, 4 for fractions between -1 and 1."""
    values = data.cells.loc[data.cells.column == column, "mean"].abs()
    return 4 if values.max() <= 1 and data.columns.unit[column] != "%" else 2


def imbalance(data: ReportData, column: str) -> tuple[int, int] | None:
    """Test pictures of the largest and the smallest class where the one has at least twice as many, else None."""
    cells = data.cells[data.cells.column == column]
    largest, smallest = cells.test_largest_class.max(), cells.test_smallest_class.min()
    return (int(largest), int(smallest)) if largest >= 2 * smallest else None


def main_scores(data: ReportData) -> list[str]:
    """The primary scores; after each that is of an imbalanced test set also `balanced_top1`, where it was measured."""
    names = []
    for column, about in data.columns.loc[data.primaries].iterrows():
        balanced = f"{about.task} balanced_top1{about.variant}"
        names += [column, balanced] if imbalance(data, column) and balanced in data.columns.index else [column]
    return names


def size_table(data: ReportData, scores: list[str] | None = None) -> pd.DataFrame:
    """Numbers of every (series, size): shape, costs in the units shown, a column per score; nothing is filled in.

    Rows are ordered by series (the controls last), then by size.
    """
    scores = data.scores if scores is None else scores
    table = data.costs.copy()
    table = table.rename(columns=cost_title) / [cost_scale(name) for name in table.columns]
    wide = data.wide()[scores]
    table = table.reindex(table.index.union(wide.index)).join(wide)
    specs = [spec for spec in sort_specs(table.index.get_level_values("spec")) if spec]
    shapes = axes(specs)[["alias", "width", "depth"]]
    table = shapes.join(table.reset_index().set_index("spec"), how="right").reset_index()
    table["size"] = table.spec.where(table.spec != "", "(none)")
    rank = {name: position for position, name in enumerate(series_order(data))}
    position = {spec: place for place, spec in enumerate(["", *specs])}
    table = table.sort_values(
        ["series", "spec"], key=lambda keys: keys.map(rank if keys.name == "series" else position)
    )
    front = ["size", "series", "alias", "width", "depth"]
    if (table.alias.fillna("") == "").all():
        front.remove("alias")
        table = table.drop(columns="alias")
    return table[front + [name for name in table if name not in (*front, "spec")]].reset_index(drop=True)


def row_keys(table: pd.DataFrame) -> pd.MultiIndex:
    """(series, spec) of each row of `size_table`."""
    return pd.MultiIndex.from_arrays([table.series, table["size"].replace("(none)", "")])


def series_order(data: ReportData) -> list[str]:
    """Pre-trained series, the one with the most sizes first, then random initialisation and raw pixels."""
    return data.pretrained + data.controls


def main_costs(data: ReportData) -> list[str]:
    """The costs that a page of paper has room for: parameters, MACs and the first median latency."""
    macs = [name for name in data.costs if name.startswith("macs")]
    return ["parameters", *macs, *[name for name in data.costs if "p50" in name][:1]]


def narrow_table(data: ReportData, scores: list[str]) -> pd.DataFrame:
    """`shown_table` with `main_costs` only."""
    dropped = [cost_title(name) for name in data.costs if name not in main_costs(data)]
    return shown_table(data, scores).drop(columns=dropped)


def shown_table(data: ReportData, scores: list[str] | None = None) -> pd.DataFrame:
    """`size_table` as text: rounded, `mean ± std` over repeats, `MARK` at disturbed costs, dashes for what lacks."""
    table = size_table(data, scores)
    spread, disturbed = data.wide("std"), data.disturbed.rename(columns=cost_title)
    keys, shown = row_keys(table), table.astype(object)
    for column in table:
        if column in ("series", "size", "alias", "width", "depth"):
            shown[column] = [DASH if pd.isna(value) else _plain(value) for value in table[column]]
        elif column in data.scores:
            decimals = decimals_of(data, column)
            cells = zip(table[column], spread[column].reindex(keys), strict=True)
            shown[column] = [score(*cell, decimals) for cell in cells]
        else:
            marks = disturbed[column].reindex(keys, fill_value=False)
            shown[column] = [number(value) + MARK * mark for value, mark in zip(table[column], marks, strict=True)]
    return shown


def _plain(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)
