"""Cells that nobody has measured, each with the command that fills it."""

from __future__ import annotations

import json
from itertools import product

import pandas as pd

from poa_bench.report.fill import command, sources
from poa_bench.report.frame import PIXELS, PROFILE, ReportData, sort_specs
from poa_bench.report.tables import series_order

_COLUMN = ["task", "dataset", "protocol", "column"]


def holes(data: ReportData) -> pd.DataFrame:
    """Runs that would complete the table: each (series, size, primary column, seed) without a fresh result.

    A series is expected to have, at every size it has anywhere, every task measured in any series, with every seed the
    series has elsewhere for that task. Raw pixels are expected only for tasks that some raw-pixel result exists for.
    The cost of a size need be measured in one series only.

    Returns:
        Columns `series`, `spec`, `task`, `dataset`, `protocol`, `column`, `seed`; empty if nothing is missing.
    """
    fresh = data.long[(data.long.stale == "") & data.long.primary]
    columns = data.columns.reset_index()[_COLUMN].set_index("column", drop=False).loc[data.primaries]
    done = set(fresh[["series", "spec", "column", "seed"]].itertuples(index=False, name=None))
    rows = []
    for series in series_order(data):
        results = fresh[fresh.series == series]
        specs = sort_specs(results.spec)
        for column in columns.itertuples(index=False, name=None):
            if series == PIXELS and column[0] not in set(results.task):
                continue
            seeds = sorted(set(results.seed[results.column == column[-1]])) or [0]
            wanted = ((series, spec, *column, seed) for spec, seed in product(specs, seeds))
            rows += [row for row in wanted if (series, row[1], column[-1], row[-1]) not in done]
    return pd.DataFrame(rows + _unprofiled(data, fresh), columns=["series", "spec", *_COLUMN, "seed"])


def _unprofiled(data: ReportData, fresh: pd.DataFrame) -> list[tuple]:
    profiles = data.columns[(data.columns.task == PROFILE) & data.columns.primary].reset_index()
    profiles = profiles[_COLUMN].drop_duplicates("protocol")
    known = set(fresh.spec[fresh.task == PROFILE])
    rows = []
    for series, profile in product(data.pretrained, profiles.itertuples(index=False, name=None)):
        specs = sort_specs(fresh.spec[fresh.series == series])
        rows += [(series, spec, *profile, 0) for spec in specs if spec not in known]
    return rows


def grouped(data: ReportData, missing: pd.DataFrame, results: str) -> pd.DataFrame:
    """`holes` that one command fills, on one line: `sizes` (how many, in words), `specs` (list), `command`, `protocol`.

    Where the code has a newer version of a protocol than the results, `protocol` says so: the command measures by it,
    and the older results are stale from then on.

    Args:
        results: the folder that the command writes to.
    """
    missing = missing.join(sources(data, missing))
    keys = ["series", *_COLUMN, "seed", "checkpoint", "how"]
    lines = missing.groupby(keys, sort=False).agg(specs=("spec", list)).reset_index()
    lines["sizes"] = [f"{len(specs)} size{'s' * (len(specs) != 1)}" for specs in lines.specs]
    lines["command"] = [command(line, results) for line in lines.itertuples()]
    now = [json.loads(how)["now"] for how in lines.how]
    lines["protocol"] = [
        old if old == new else f"{old}, to be measured as {new}, which replaces it"
        for old, new in zip(lines.protocol, now, strict=True)
    ]
    return lines
