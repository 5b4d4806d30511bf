"""Which size to deploy: the best score within a budget, the runner-up, and what the next cheaper size loses."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report.frame import PROFILE, ReportData


@dataclass(frozen=True)
class Choice:
    """The answer: rows of `candidates`, None where there is no such size.

    Attributes:
        best: highest score within the limits; the cheaper one of equals.
        runner_up: the second best within the limits.
        cheaper: the best size that costs less than `best`.
        unknown: sizes left out because a limited cost was never measured for them.
    """

    best: pd.Series | None
    runner_up: pd.Series | None
    cheaper: pd.Series | None
    unknown: int


def candidates(data: ReportData, column: str) -> pd.DataFrame:
    """Every pre-trained size that was measured: `series`, `spec`, `score`, `checkpoint` and the costs, in base units."""
    scores = data.cells[(data.cells.column == column) & data.cells.series.isin(data.pretrained)]
    scores = scores.dropna(subset=["mean"])[["series", "spec", "mean"]].rename(columns={"mean": "score"})
    scores = scores.join(checkpoints(data), on=["series", "spec"]).join(data.costs, on=["series", "spec"])
    return scores.sort_values(["series", "spec"]).reset_index(drop=True)


def checkpoints(data: ReportData) -> pd.Series:
    """The checkpoint to cut each (series, spec) from: that of its newest result."""
    fresh = data.long[(data.long.stale == "") & data.long.series.isin(data.pretrained)]
    return fresh.sort_values("created").groupby(["series", "spec"]).checkpoint.last()


def pick(table: pd.DataFrame, limits: Mapping[str, float], cost: str = "parameters") -> Choice:
    """Choose from `candidates` within `limits` ({cost: highest allowed}); `cost` says what "cheaper" means."""
    known = table.dropna(subset=[*limits])
    unknown = len(table) - len(known)
    for name, limit in limits.items():
        known = known[known[name] <= limit]
    ranked = known.sort_values(["score", cost], ascending=[False, True], kind="stable")
    if ranked.empty:
        return Choice(None, None, None, unknown)
    best = ranked.iloc[0]
    cheaper = ranked[ranked[cost] < best[cost]]
    return Choice(
        best, ranked.iloc[1] if len(ranked) > 1 else None, None if cheaper.empty else cheaper.iloc[0], unknown
    )


def find_column(data: ReportData, task: str, metric: str | None = None) -> str:
    """The column meant by a task (or the beginning of its name) and a metric (the primary one by default).

    Raises:
        InputError: no column or more than one fits; the sentence lists what there is.
    """
    columns = data.columns[data.columns.task != PROFILE]
    chosen = columns[columns.task.str.startswith(task) | (columns.index == task)]
    chosen = chosen[chosen.primary] if metric is None else chosen[chosen.metric == metric]
    if len(chosen) == 1:
        return chosen.index[0]
    wanted = f"task {task!r}" + (f" with metric {metric!r}" if metric else "")
    if len(chosen) > 1:
        raise InputError(f"{wanted} fits {len(chosen)} columns: give one of {_quoted(chosen.index)} as --task")
    close = difflib.get_close_matches(task, list(columns.index), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"{wanted} was not measured: there are {_quoted(columns.index)}{hint}")


def export_command(checkpoint: str, spec: str) -> str:
    """The command that cuts the size out of its checkpoint."""
    return shlex.join(["poa-bench", "extract", checkpoint, spec, "-o", f"{spec}.safetensors"])


def _quoted(names: pd.Index) -> str:
    return ", ".join(repr(name) for name in names)
