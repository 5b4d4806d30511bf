"""What every size costs, and which of these numbers were measured on a busy machine (`downstream/disturbance.py`)."""

from __future__ import annotations

import re

import pandas as pd

from poa_bench.report.naming import costs

DISTURBED = "facts.disturbed"
_BATCH = re.compile(r"_ms_(batch)(\d+)")


def cost_tables(fresh: pd.DataFrame, cells: pd.DataFrame, columns: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Parameters, MACs and the profile's metrics per (series, spec), and whether each number is of a disturbed machine.

    What was measured in one series serves every other whose network of this size has as many parameters; what was
    measured undisturbed in any of them comes first.
    """
    sized = fresh[fresh.spec != ""]
    table = sized.groupby(["series", "spec"])[["parameters"]].first().astype("Float64").astype(float)
    for name, rows in _macs(sized).items():
        table[name] = rows.groupby(["series", "spec"]).macs.first().astype("Float64").astype(float)
        table[name] = _shared(table[name], table.parameters)
    table["weights"] = 4 * table.parameters  # what an extracted file holds: float32
    disturbed = pd.DataFrame(False, index=table.index, columns=table.columns)
    for column in columns[costs(columns.task)].itertuples():
        if column.sign > 0:  # throughput, which is latency again
            continue
        name, metric = column.Index, column.Index.removeprefix(f"{column.task} ")
        if metric in table:  # the profile repeats what every result carries
            continue
        own = cells[cells.column == name].set_index(["series", "spec"])["mean"].reindex(table.index)
        quiet = _shared(own.where(~own.index.isin(_disturbed(sized, name))), table.parameters)
        table[metric] = quiet.fillna(_shared(own, table.parameters))
        disturbed[metric] = quiet.isna() & table[metric].notna()
    return table, disturbed


def _disturbed(sized: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    """(series, spec) of which a run was disturbed while it measured this column: a latency at the batch it names."""
    batch = _BATCH.search(column)
    if batch is None or DISTURBED not in sized:
        return []
    rows = sized[(sized.column == column) & sized[DISTURBED].str.contains(rf"\b{' '.join(batch.groups())}:", na=False)]
    return list(rows[["series", "spec"]].itertuples(index=False, name=None))


def _macs(sized: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows that say each kind of MACs: one for each image size where a network has different ones."""
    rows = sized.dropna(subset=["macs"])
    if rows.empty or rows.groupby(["series", "spec"]).macs.nunique().max() == 1:
        return {"macs": rows}
    return {f"macs · {pixels} px": some for pixels, some in rows.groupby("image_size")}


def _shared(own: pd.Series, parameters: pd.Series) -> pd.Series:
    """Values per (series, spec), filled in from other series with the same spec and number of parameters."""
    keys = [own.index.get_level_values("spec"), parameters]
    return own.fillna(own.groupby(keys).transform("first"))
