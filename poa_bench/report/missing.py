"""Cells that nobody has measured, each with the command that fills it."""

from __future__ import annotations

import shlex
from itertools import product

import pandas as pd

from poa_bench.report.frame import PIXELS, PROFILE, RANDOM, ReportData, sort_specs


def holes(data: ReportData) -> pd.DataFrame:
    """Runs that would complete the table: each (series, size, task, data set, protocol, seed) without a fresh result.

    A series is expected to have, at every size it has anywhere, every task measured in any series, with every seed the
    series has elsewhere for that task. Raw pixels are expected only for tasks that some raw-pixel result exists for.

    Returns:
        Columns `series`, `spec`, `task`, `dataset`, `protocol`, `seed`, `command`; empty if nothing is missing.
    """
    fresh = data.long[data.long.stale == ""]
    keys = ["task", "dataset", "protocol"]
    tasks = fresh[fresh.task != PROFILE][keys].drop_duplicates()
    done = set(fresh[["series", "spec", *keys, "seed"]].itertuples(index=False, name=None))
    rows = []
    for series, results in fresh.groupby("series", sort=False):
        own_tasks = set(results.task)
        specs = sort_specs(results.spec)
        for task in tasks.itertuples(index=False, name=None):
            if series == PIXELS and task[0] not in own_tasks:
                continue
            same = (results[keys] == list(task)).all(axis=1)
            seeds = sorted(set(results.seed[same])) or [0]
            wanted = ((series, spec, *task, seed) for spec, seed in product(specs, seeds))
            rows += [row for row in wanted if row not in done]
    table = pd.DataFrame(rows, columns=["series", "spec", *keys, "seed"])
    checkpoints = fresh.drop_duplicates("series").set_index("series").checkpoint
    table["command"] = [command_for(row, checkpoints[row.series]) for row in table.itertuples()]
    return table


def command_for(hole, checkpoint: str | None) -> str:
    """The command line that measures one hole (a row of `holes`)."""
    words = ["poa-bench", "evaluate"]
    words += [] if hole.series in (RANDOM, PIXELS) else [checkpoint]
    words += ["--task", hole.task, "--protocol", hole.protocol, "--dataset", hole.dataset, "--seed", str(hole.seed)]
    if hole.series == PIXELS:
        words += ["--initialisation", "pixels"]
    else:
        words += ["--spec", hole.spec] + (["--initialisation", "random"] if hole.series == RANDOM else [])
    return shlex.join(words)


def grouped(holes: pd.DataFrame) -> pd.DataFrame:
    """Holes that differ only in size, on one line: `sizes` (count), `specs` (list), the first one's `command`."""
    keys = ["series", "task", "dataset", "protocol", "seed"]
    return (
        holes.groupby(keys, sort=False)
        .agg(sizes=("spec", "size"), specs=("spec", list), command=("command", "first"))
        .reset_index()
    )
