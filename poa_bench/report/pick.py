"""Which size to deploy: the best score within a budget, the runner-up, and what the next cheaper size loses."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report.frame import PROFILE, ReportData, load_report_data
from poa_bench.report.tables import cost_scale, cost_title, decimals_of, number, score


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


@lru_cache(maxsize=1024)
def candidates(data: ReportData, column: str) -> pd.DataFrame:
    """Every pre-trained size measured, and the costs in base units.

    Returns:
        `series`, `spec`, `score` (mean over seeds), `std`, `seeds`, `checkpoint`, then a column per cost.
    """
    scores = data.cells[(data.cells.column == column) & data.cells.series.isin(data.pretrained)]
    scores = scores.dropna(subset=["mean"])[["series", "spec", "mean", "std", "seeds"]]
    scores = scores.rename(columns={"mean": "score"})
    scores = scores.join(checkpoints(data), on=["series", "spec"]).join(data.costs, on=["series", "spec"])
    return scores.sort_values(["series", "spec"]).reset_index(drop=True)


@lru_cache(maxsize=16)
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


def find_columns(data: ReportData, task: str, metric: str | None = None) -> list[str]:
    """The columns meant by a task (or the beginning of its name) and a metric (the primary one by default).

    Returns:
        One column, or several that measure the same by different protocols: the one with the most sizes first; among
        equals they keep the report's order, in which the protocol that is measured by default is the first.

    Raises:
        InputError: none fits, or columns of several tasks or data sets do; the sentence lists what there is.
    """
    columns = data.columns[data.columns.task != PROFILE]
    if task in columns.index:
        return [task]
    chosen = columns[columns.task.str.startswith(task)]
    chosen = chosen[chosen.primary] if metric is None else chosen[chosen.metric == metric]
    wanted = f"task {task!r}" + (f" with metric {metric!r}" if metric else "")
    if len(chosen[["task", "dataset", "metric"]].drop_duplicates()) > 1:
        choices = " or ".join(f"--task {shlex.quote(name)}" for name in chosen.index)
        raise InputError(f"{wanted} fits several tasks or data sets: say which one by {choices}")
    if len(chosen):
        return sorted(chosen.index, key=lambda column: -len(candidates(data, column)))
    close = difflib.get_close_matches(task, list(columns.index), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"{wanted} was not measured: there are {_quoted(columns.index)}{hint}")


def export_command(checkpoint: str, spec: str) -> str:
    """The command that cuts the size out of its checkpoint."""
    return shlex.join(["poa-bench", "extract", checkpoint, spec, "-o", f"{spec}.safetensors"])


def find_latency(data: ReportData, words: str) -> str:
    """The latency cost whose name has all the words; where several do, that of float32.

    Raises:
        InputError: none or several do.
    """
    known = [name for name in data.costs.columns if name.startswith("latency")]
    chosen = [name for name in known if all(word in name for word in words.split())]
    if len(chosen) > 1:
        chosen = [name for name in chosen if "float16" not in name] or chosen
    if len(chosen) == 1:
        return chosen[0]
    if not known:
        raise InputError("no latency was measured: run the task 'profile' first, or limit parameters or MACs instead")
    raise InputError(f"--latency {words!r} fits {len(chosen)} of the latencies measured: {', '.join(chosen or known)}")


def choose(
    results: str, task: str, metric: str | None, limits: Mapping[str, str | float | None], latency: tuple
) -> dict:
    """Read the results and pick.

    Args:
        results: folder of results.
        task, metric: as `find_column`.
        limits: highest allowed parameters, macs, weights (bytes); None is no limit.
        latency: (milliseconds or None, words of the latency's name).

    Returns:
        `column`, `cost` (what cheaper means), `choice`, `limits`, `lowest` (the row that has least of each limited
        cost), `decimals`, `others` ({column of another protocol:
        the best size by it and its series, or None}), where there are others `why` this column was taken, and
        `devices` that the limited latency was measured on.
    """
    data = load_report_data(results)
    bounds = {name: value for name, value in limits.items() if value is not None}
    if latency[0] is not None:
        bounds = {find_latency(data, latency[1]): latency[0], **bounds}
    column, *others = find_columns(data, task, metric)
    cost = next(iter(bounds), "parameters")
    best = {name: pick(candidates(data, name), bounds, cost).best for name in others}
    table = candidates(data, column)
    return {
        "column": column,
        "cost": cost,
        "choice": pick(table, bounds, cost),
        "lowest": {name: table.loc[table[name].idxmin()] for name in bounds if table[name].notna().any()},
        "limits": bounds,
        "decimals": decimals_of(data, column),
        "others": {name: None if row is None else _named(row) for name, row in best.items()},
        "why": _why_first(data, [column, *others]),
        "devices": _devices(data) if latency[0] is not None else [],
    }


def _devices(data: ReportData) -> list[str]:
    """Where the latencies were measured that count."""
    profiles = data.long[(data.long.task == PROFILE) & (data.long.stale == "")]
    return sorted(profiles["facts.device"].dropna().unique()) if "facts.device" in profiles else []


def _why_first(data: ReportData, columns: list[str]) -> str:
    """Why `find_columns` has put the first column before the second."""
    first, *rest = (len(candidates(data, column)) for column in columns)
    if rest and first > rest[0]:
        return f"it has the most sizes, {first}"
    return "it comes first in the report"


def pick_text(found: dict) -> str:
    """The answer of `choose` in words."""
    choice, decimals, cost = found["choice"], found["decimals"], found["cost"]
    limits = ", ".join(_amount(name, limit, " <=") for name, limit in found["limits"].items())
    if choice.best is None:
        lowest = [f"{_amount(name, row[name])} ({row.spec})" for name, row in found["lowest"].items()]
        raise InputError(
            f"no measured size has {limits}; the lowest measured: {', '.join(lowest) or 'none'}. "
            f"Allow more, or measure more sizes ({choice.unknown} lack the cost)"
        )
    best = choice.best
    lines = [
        f"{found['column']}" + (f" with {limits}" if limits else ""),
        f"best:          {_described(best, decimals)}",
    ]
    if choice.runner_up is not None:
        lines.append(f"runner-up:     {_described(choice.runner_up, decimals)}")
    if choice.cheaper is not None:
        saved = 100 * (1 - choice.cheaper[cost] / best[cost])
        loss = best.score - choice.cheaper.score
        worse = f"{choice.cheaper.spec} loses {loss:.{decimals}f}"
        lines.append(f"next cheaper:  {worse} and saves {saved:.0f} % of {cost_title(cost)}")
    lines += [_protocol_line(best, found)] if found["others"] else []
    if choice.unknown:
        lines.append(f"left out:      sizes for which a limited cost was not measured: {choice.unknown}")
    if found["devices"]:
        lines.append(f"latency of:    {', '.join(found['devices'])}")
    return "\n".join([*lines, f"export:        {export_command(best.checkpoint, best.spec)}"])


def _amount(cost: str, value: float, sign: str = "") -> str:
    return f"{cost_title(cost)}{sign} {number(value / cost_scale(cost))}"


def _named(row: pd.Series) -> str:
    return f"{row.spec} ({row.series})"


def _protocol_line(best: pd.Series, found: dict) -> str:
    """Which of several protocols was taken, why, and whether the others would choose differently."""
    said = [
        f"by {shlex.quote(name)} (as --task) the best is " + ("the same" if other == _named(best) else other or "none")
        for name, other in found["others"].items()
    ]
    return f"protocol:      {found['column']} was taken: {found['why']}; {'; '.join(said)}"


def _described(row: pd.Series, decimals: int) -> str:
    costs = [name for name in row.index[row.index.get_loc("checkpoint") + 1 :] if pd.notna(row[name])]
    shown = ", ".join(f"{number(row[name] / cost_scale(name))} {cost_title(name)}" for name in costs)
    return f"{_named(row)}: {score(row.score, row['std'], row.seeds, decimals)}; {shown}"


def _quoted(names: pd.Index) -> str:
    return ", ".join(repr(name) for name in names)
