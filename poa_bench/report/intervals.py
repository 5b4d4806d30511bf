"""Tables of what is sure: the 95 % interval of every score, and the sizes that cannot be told apart from the best."""

from __future__ import annotations

import pandas as pd

from poa_bench.report import tables
from poa_bench.report.frame import ReportData
from poa_bench.report.ties import group, score_of

SIZES_SHOWN = 8  # of a tie; more are counted


def interval_text(low: float, high: float, decimals: int = 2) -> str:
    """`[71.20, 74.05]`, empty where it is not known."""
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]" if low == low else ""


def row_intervals(data: ReportData, column: str, rows: pd.DataFrame) -> list[str]:
    """`interval_text` of a score for each row of `tables.size_table`."""
    low, high = (data.wide(end)[column].reindex(tables.row_keys(rows)) for end in ("low", "high"))
    return [interval_text(*ends, tables.decimals_of(data, column)) for ends in zip(low, high, strict=True)]


def csv_table(data: ReportData) -> pd.DataFrame:
    """`tables.size_table`, and after each score with intervals its `low`, `high` and `group`.

    The group is `yes` where a size cannot be told apart from the best of its series, see `ties.py`.
    """
    table = tables.size_table(data)
    keys = tables.row_keys(table)
    found = {}
    for column in table.columns:
        found[column] = table[column]
        if column not in data.scores:
            continue
        ends = {end: data.wide(end)[column].reindex(keys).to_numpy() for end in ("low", "high")}
        if pd.isna(ends["low"]).all():
            continue
        found |= {f"{column} {end}": values for end, values in ends.items()}
        tied = {key for series in data.pretrained for key in tie(data, series, column)}
        ours = keys.get_level_values(0).isin(data.pretrained) & table[column].notna().to_numpy()
        found[f"{column} group"] = [
            "" if not mine else "yes" if key in tied else "no" for key, mine in zip(keys, ours, strict=True)
        ]
    return pd.DataFrame(found)


def tie(data: ReportData, series: str, column: str) -> list[tuple[str, str]]:
    """The sizes of a series that cannot be told apart from its best, smallest first; none without a direction."""
    if (series, column) not in data.cell_groups or not data.columns.sign[column]:
        return []
    measured = data.cell_groups[series, column]["mean"].dropna().index
    tied = group(data, column, [(series, spec) for spec in measured])
    return sorted(tied, key=lambda key: data.costs.parameters.get(key, 0))


def tie_table(data: ReportData) -> pd.DataFrame:
    """For each series and primary score of known noise: the highest, what ties with it, and the cheapest of it.

    Networks from outside, most of them alone in their series, are left out.
    """
    rows = []
    for series in (name for name in data.pretrained if name not in data.outside):
        for column in data.primaries:
            tied = tie(data, series, column)
            if tied and data.cell_groups[series, column].error.notna().any():
                rows.append(_tie_row(data, series, column, tied))
    table = pd.DataFrame(rows)
    return table.drop(columns="series") if len(data.pretrained) < 2 and len(table) else table


def _tie_row(data: ReportData, series: str, column: str, tied: list[tuple[str, str]]) -> dict[str, object]:
    cells, parameters = data.cell_groups[series, column], data.costs.parameters
    best = max(tied, key=lambda key: score_of(data, column, *key).merit)
    names = [spec for _, spec in tied]
    more = f" and {len(names) - SIZES_SHOWN + 1} more" if len(names) > SIZES_SHOWN else ""
    shown = names[: SIZES_SHOWN - 1] if more else names
    return {
        "score": column,
        "series": series,
        "best": _valued(data, column, cells.loc[best[1]]),
        "sizes": int(cells["mean"].notna().sum()),
        "in the tie": len(tied),
        "which, smallest first": ", ".join(shown) + more,
        "smallest of the tie": _valued(data, column, cells.loc[names[0]]),
        "its parameters": f"{100 * parameters[tied[0]] / parameters[best]:.0f} % of the best's",
    }


def _valued(data: ReportData, column: str, cell: pd.Series) -> str:
    decimals = tables.decimals_of(data, column)
    return f"{cell.name}: {cell['mean']:.{decimals}f} {interval_text(cell.low, cell.high, decimals)}".rstrip()
