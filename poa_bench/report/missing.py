"""Cells that nobody has measured, each with the command that fills it."""

from __future__ import annotations

import json
import re
import shlex
from functools import lru_cache
from itertools import product

import pandas as pd

from poa_bench.config_files import runnable_configs
from poa_bench.report.frame import PIXELS, PROFILE, RANDOM, ReportData, sort_specs
from poa_bench.report.tables import series_order

LIGHT = ("knn", "linear", PROFILE)  # what `poa-bench evaluate` measures
_KEYS = ["task", "dataset", "protocol"]


def holes(data: ReportData) -> pd.DataFrame:
    """Runs that would complete the table: each (series, size, task, data set, protocol, seed) without a fresh result.

    A series is expected to have, at every size it has anywhere, every task measured in any series, with every seed the
    series has elsewhere for that task. Raw pixels are expected only for tasks that some raw-pixel result exists for.
    The cost of a size need be measured in one series only.

    Returns:
        Columns `series`, `spec`, `task`, `dataset`, `protocol`, `seed`; empty if nothing is missing.
    """
    fresh = data.long[data.long.stale == ""]
    tasks = data.columns.loc[data.columns.task != PROFILE, _KEYS].drop_duplicates()
    done = set(fresh[["series", "spec", *_KEYS, "seed"]].itertuples(index=False, name=None))
    rows = []
    for series in series_order(data):
        results = fresh[fresh.series == series]
        specs = sort_specs(results.spec)
        for task in tasks.itertuples(index=False, name=None):
            if series == PIXELS and task[0] not in set(results.task):
                continue
            same = (results[_KEYS] == list(task)).all(axis=1)
            seeds = sorted(set(results.seed[same])) or [0]
            wanted = ((series, spec, *task, seed) for spec, seed in product(specs, seeds))
            rows += [row for row in wanted if row not in done]
    return pd.DataFrame(rows + _unprofiled(data, fresh), columns=["series", "spec", *_KEYS, "seed"])


def _unprofiled(data: ReportData, fresh: pd.DataFrame) -> list[tuple]:
    profiles = data.columns.loc[data.columns.task == PROFILE, _KEYS].drop_duplicates()
    known = set(fresh.spec[fresh.task == PROFILE])
    rows = []
    for series, profile in product(data.pretrained, profiles.itertuples(index=False, name=None)):
        specs = sort_specs(fresh.spec[fresh.series == series])
        rows += [(series, spec, *profile, 0) for spec in specs if spec not in known]
    return rows


def grouped(data: ReportData, missing: pd.DataFrame, results: str) -> pd.DataFrame:
    """`holes` that differ only in size, on one line: `sizes` (count), `specs` (list) and the `command` for all of them.

    Args:
        results: the folder that the command writes to.
    """
    family = missing.spec.str.split("-").str[0].rename("family")
    keys = ["series", *_KEYS, "seed", family]
    lines = missing.groupby(keys, sort=False).agg(sizes=("spec", "size"), specs=("spec", list)).reset_index()
    lines["command"] = [_command(data, line, results) for line in lines.itertuples()]
    return lines


def _command(data: ReportData, line, results: str) -> str:
    checkpoint = _checkpoint(data, line.series, line.family)
    kind = {RANDOM: "random", PIXELS: "pixels"}.get(line.series, "pretrained")
    if line.task in LIGHT:
        words = ["evaluate", checkpoint, "--data", line.dataset, "-o", results, "--tasks", line.task]
        words += ["--protocols", line.protocol, "--seeds", str(line.seed), "--initialisation", kind]
        return shlex.join(["poa-bench", *words] + (["--specs", ",".join(line.specs)] if line.family else []))
    task = {"task": line.task, "specs": line.specs, "initialisations": [kind], "seeds": [line.seed]}
    task["settings"] = {"config": _config_of(line.protocol)}
    words = ["run", "sweep_digits", "--checkpoint", checkpoint, "--results", results]
    return shlex.join(["poa-bench", *words, "--set", f"tasks={json.dumps([task])}"])


def _checkpoint(data: ReportData, series: str, family: str) -> str:
    """The newest checkpoint of a series; for a control, of the same family: it says what the network looks like."""
    known = data.long[(data.long.stale == "") & data.long.checkpoint.notna()].sort_values("created")
    for same in (known.series == series, known.family == family, known.series != ""):
        if same.any():
            return known.checkpoint[same].iloc[-1]
    return "CHECKPOINT"


@lru_cache(maxsize=256)
def _config_of(protocol: str) -> str:
    """The downstream config that measures by a protocol; a place-holder where none says so."""
    said = re.compile(rf"""protocol=["']{re.escape(protocol)}["']""")
    for path in runnable_configs().values():
        if said.search(path.read_text(encoding="utf-8")):
            return path.name
    return "CONFIG.py"
