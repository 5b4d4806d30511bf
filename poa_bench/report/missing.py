"""Cells that nobody has measured, each with the command that fills it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from typing import Any

import pandas as pd

from poa_bench.report.fill import ANOTHER, command, sources
from poa_bench.report.frame import PIXELS, ReportData, costs, sort_specs
from poa_bench.report.tables import series_order

_COLUMN = ["task", "dataset", "protocol", "column"]


def holes(data: ReportData) -> pd.DataFrame:
    """Runs that would complete the table: (series, pre-training, size, primary column, seed) without a fresh result.

    A pre-training is expected to have, at every size that it or a repeat of it has anywhere, every task measured in any
    series, with every measurement seed its series has elsewhere for that task. A size that fewer pre-trainings of its
    series have than another needs `ANOTHER`. Raw pixels are expected only for tasks that some raw-pixel result exists
    for. The cost of a size need be measured in one series only.

    Returns:
        Columns `series`, `pretraining`, `spec`, `task`, `dataset`, `protocol`, `column`, `seed`; empty if nothing is
        missing.
    """
    fresh = data.long[(data.long.stale == "") & data.long.primary]
    columns = data.columns.reset_index()[_COLUMN].set_index("column", drop=False).loc[data.primaries]
    done = set(fresh[["series", "pretraining", "spec", "column", "seed"]].itertuples(index=False, name=None))
    rows = []
    for series in series_order(data):
        results = fresh[fresh.series == series]
        expected = _expected(results)
        for column in columns.itertuples(index=False, name=None):
            if series == PIXELS and column[0] not in set(results.task):
                continue
            seeds = sorted(set(results.seed[results.column == column[-1]])) or [0]
            for pretraining, specs in expected:
                wanted = ((series, pretraining, spec, *column, seed) for spec, seed in product(specs, seeds))
                rows += [row for row in wanted if (series, pretraining, row[2], column[-1], row[-1]) not in done]
    return pd.DataFrame(rows + _unprofiled(data, fresh), columns=["series", "pretraining", "spec", *_COLUMN, "seed"])


def _expected(results: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Each pre-training of a series with the sizes it should have, then those that are not there yet."""
    own = results.groupby("pretraining").spec.agg(set)
    expected = {name: set().union(*(other for other in own if other & specs)) for name, specs in own.items()}
    counts = Counter(spec for specs in expected.values() for spec in specs)
    most = max(counts.values(), default=0)
    lacking = [{spec for spec, count in counts.items() if count < needed} for needed in range(2, most + 1)]
    pairs = [*expected.items(), *((ANOTHER, specs) for specs in lacking if specs)]
    return [(name, sort_specs(list(specs))) for name, specs in pairs]


def _unprofiled(data: ReportData, fresh: pd.DataFrame) -> list[tuple]:
    profiles = data.columns[costs(data.columns.task) & data.columns.primary].reset_index()
    profiles = profiles[_COLUMN].drop_duplicates("protocol")
    known = set(fresh.spec[costs(fresh.task)])
    rows = []
    for series, profile in product(data.pretrained, profiles.itertuples(index=False, name=None)):
        results = fresh[(fresh.series == series) & ~fresh.spec.isin(known)]
        first = results.sort_values("pretraining_seed", kind="stable").groupby("spec").pretraining.first()
        rows += [(series, first[spec], spec, *profile, 0) for spec in sort_specs(first.index)]
    return rows


def grouped(data: ReportData, missing: pd.DataFrame, results: str) -> pd.DataFrame:
    """`holes` that one command fills, on one line: `sizes` and `seeds` in words, `specs` (list), `command`, `protocol`.

    Where the code has a newer version of a protocol than the results, `protocol` says so: the command measures by it,
    and the older results are stale from then on.

    Args:
        results: the folder that the command writes to.
    """
    missing = missing.join(sources(data, missing))
    keys = ["series", "pretraining", *_COLUMN, "seed", "checkpoint", "how"]
    lines = missing.groupby(keys, sort=False).agg(specs=("spec", list)).reset_index()
    lines["sizes"] = [f"{len(specs)} size{'s' * (len(specs) != 1)}" for specs in lines.specs]
    repeated = data.long[data.long.stale == ""].groupby("series").pretraining.nunique() > 1
    lines["seeds"] = [_seeds(data, line, repeated[line.series]) for line in lines.itertuples()]
    lines["command"] = [command(line, results) for line in lines.itertuples()]
    now = [json.loads(how)["now"] for how in lines.how]
    lines["protocol"] = [
        old if old == new else f"{old}, to be measured as {new}, which replaces it"
        for old, new in zip(lines.protocol, now, strict=True)
    ]
    return lines


def _seeds(data: ReportData, line: Any, repeated: bool) -> str:
    """Which seeds a line is of, each with what it is the seed of."""
    random = line.series in data.controls and line.series != PIXELS
    text = f"{'initialisation and ' * random}measurement seed {line.seed}"
    if not repeated:
        return text
    if line.pretraining == ANOTHER:
        return f"{text}, another pre-training"
    sha, _, seed = line.pretraining.partition(" ")
    return f"{text}, pre-training seed {seed} of checkpoint {sha[:8]}"
