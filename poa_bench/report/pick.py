"""Which size to deploy: the highest within a budget, the runner-up, and what the next cheaper size loses.

Sizes are chosen by validation scores where there are some; the scores shown are those of the test split. Whether the
one chosen is any good is said first, by `verdict.py`.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from poa_bench.errors import InputError
from poa_bench.report.analysis import verdict
from poa_bench.report.frame import ReportData, costs, load_report_data
from poa_bench.report.noise import tied
from poa_bench.report.origin import origins, replaced
from poa_bench.report.tables import cost_scale, cost_title, decimals_of, number, score
from poa_bench.report.verdict import verdict_text
from poa_bench.runs.results import VALIDATION


@dataclass(frozen=True)
class Choice:
    """The answer: rows of `candidates`, None where there is no such size.

    Attributes:
        best: highest rank within the limits; the cheaper one of equals.
        runner_up: the second best within the limits.
        cheaper: the best size that costs less than `best`.
        unknown: sizes left out because a limited cost was never measured for them.
        allowed: every row within the limits.
    """

    best: pd.Series | None
    runner_up: pd.Series | None
    cheaper: pd.Series | None
    unknown: int
    allowed: pd.DataFrame


@lru_cache(maxsize=1024)
def candidates(data: ReportData, column: str) -> pd.DataFrame:
    """Every pre-trained size measured, and the costs in base units.

    Returns:
        `series`, `spec`, `score` (mean over repeats), `std`, `error` (of the mean), `rank` (validation score if every
        size has one, else score, times `sign`: the larger the better), the columns of `origins`, a column per cost.
    """
    scores = _scored(data, column)
    rank = data.columns.sign[column] * _scored(data, chosen_by(data, column))["mean"]
    scores = scores.assign(rank=rank).rename(columns={"mean": "score"})
    scores = scores.reset_index().join(origins(data), on=["series", "spec"]).join(data.costs, on=["series", "spec"])
    return scores.sort_values(["series", "spec"]).reset_index(drop=True)


def _scored(data: ReportData, column: str) -> pd.DataFrame:
    cells = data.cells[(data.cells.column == column) & data.cells.series.isin(data.pretrained)]
    return cells.dropna(subset=["mean"]).set_index(["series", "spec"])[["mean", "std", "error"]]


@lru_cache(maxsize=1024)
def chosen_by(data: ReportData, column: str) -> str:
    """The column whose values a size is chosen by: `val_<metric>` measured in the same way, if every size has it."""
    about = data.columns.loc[column]
    judge = f"{about.task} {VALIDATION}{about.metric}{about.variant}"
    if judge not in data.columns.index:
        return column
    complete = _scored(data, column).index.isin(_scored(data, judge).index).all()
    return judge if complete else column


def choice_sentence(data: ReportData, column: str) -> str:
    """What sizes are chosen by in this column, and what that means for the score of the one chosen."""
    about, judge = data.columns.loc[column], chosen_by(data, column)
    if judge != column:
        return f"chosen by {judge}; nothing was chosen on the {about.split} split, which the scores shown are of"
    if about.metric.startswith(VALIDATION):
        return "chosen by these validation scores themselves, so the chosen one's is likely to be a little too high"
    return (
        f"chosen on the {about.split} split itself, for want of validation scores of every size: the chosen one's "
        "score is likely to be a little too high"
    )


def pick(table: pd.DataFrame, limits: Mapping[str, float], cost: str = "parameters") -> Choice:
    """Choose from `candidates` within `limits` ({cost: highest allowed}); `cost` says what "cheaper" means."""
    known = table.dropna(subset=[*limits])
    unknown = len(table) - len(known)
    for name, limit in limits.items():
        known = known[known[name] <= limit]
    ranked = known.sort_values(["rank", cost], ascending=[False, True], kind="stable")
    if ranked.empty:
        return Choice(None, None, None, unknown, known)
    best = ranked.iloc[0]
    cheaper = ranked[ranked[cost] < best[cost]]
    runner_up = ranked.iloc[1] if len(ranked) > 1 else None
    return Choice(best, runner_up, None if cheaper.empty else cheaper.iloc[0], unknown, known)


def find_columns(data: ReportData, task: str, metric: str | None = None) -> list[str]:
    """The columns meant by a task (or the beginning of its name) and a metric (the primary one by default).

    Returns:
        One column, or several that measure the same by different protocols or number types: the one with the most
        sizes first; among equals they keep the report's order, which begins with the protocol measured by default.

    Raises:
        InputError: none fits, or columns of several tasks, data sets or settings do; the sentence lists what there is.
    """
    columns = data.columns[~costs(data.columns.task)]
    if task in columns.index:
        return [task]
    chosen = columns[columns.task.str.startswith(task)]
    chosen = chosen[chosen.primary] if metric is None else chosen[chosen.metric == metric]
    wanted = f"task {task!r}" + (f" with metric {metric!r}" if metric else "")
    if len(chosen[["task", "dataset", "metric", "settings"]].drop_duplicates()) > 1:
        choices = " or ".join(f"--task {shlex.quote(name)}" for name in chosen.index)
        raise InputError(f"{wanted} fits several tasks, data sets or settings: say which one by {choices}")
    if len(chosen):
        return sorted(chosen.index, key=lambda column: -len(candidates(data, column)))
    close = difflib.get_close_matches(task, list(columns.index), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"{wanted} was not measured: there are {_quoted(columns.index)}{hint}")


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
        `column`, `by` (what sizes were chosen by, in words), `cost` (what cheaper means), `choice`, `verdict` (what it
        is worth, in words), `limits`, `lowest` (the row that has least of each limited cost), `costs` (names),
        `decimals`, `others` ({column of another protocol: the size chosen by it and its series, or None}), where there
        are others `why` this column was taken, and `devices` that the limited latency was measured on.
    """
    data = load_report_data(results)
    column, *others = find_columns(data, task, metric)
    if not data.columns.sign[column]:
        raise InputError(f"neither more nor less of {column} is better: choose by another metric")
    bounds = {_cost_of(data, column, name): value for name, value in limits.items() if value is not None}
    if latency[0] is not None:
        bounds = {find_latency(data, latency[1]): latency[0], **bounds}
    cost = next(iter(bounds), "parameters")
    best = {name: pick(candidates(data, name), bounds, cost).best for name in others}
    table = candidates(data, column)
    choice = pick(table, bounds, cost)
    return {
        "column": column,
        "sign": data.columns.sign[column],
        "by": choice_sentence(data, column),
        "cost": cost,
        "costs": list(data.costs),
        "choice": choice,
        "verdict": _verdict(data, column, choice),
        "lowest": {name: table.loc[table[name].idxmin()] for name in bounds if table[name].notna().any()},
        "limits": bounds,
        "decimals": decimals_of(data, column),
        "others": {name: None if row is None else _named(row) for name, row in best.items()},
        "why": _why_first(data, [column, *others]),
        "devices": _devices(data) if latency[0] is not None else [],
    }


def _verdict(data: ReportData, column: str, choice: Choice) -> str:
    if choice.best is None:
        return ""
    return verdict_text(verdict(data, column, choice.allowed, choice.best.name), decimals_of(data, column))


def _cost_of(data: ReportData, column: str, name: str) -> str:
    """The cost of this name; MACs are those at the image size that the column was measured at.

    Raises:
        InputError: the results do not say which image size that is.
    """
    if name in data.costs:
        return name
    sizes = data.long.image_size[(data.long.column == column) & (data.long.stale == "")].dropna().unique()
    fitting = [f"{name} · {pixels} px" for pixels in sizes if f"{name} · {pixels} px" in data.costs]
    if len(fitting) != 1:
        known = ", ".join(cost for cost in data.costs if cost.startswith(name)) or "none"
        raise InputError(f"{name} of {column} are not known, only {known}: limit parameters or latency instead")
    return fitting[0]


def _devices(data: ReportData) -> list[str]:
    profiles = data.long[costs(data.long.task) & (data.long.stale == "")]
    return sorted(profiles["facts.device"].dropna().unique()) if "facts.device" in profiles else []


def _why_first(data: ReportData, columns: list[str]) -> str:
    """Why `find_columns` has put the first column before the second."""
    first, *rest = (len(candidates(data, column)) for column in columns)
    if rest and first > rest[0]:
        return f"it has the most sizes, {first}"
    return "it comes first in the report"


def pick_text(found: dict) -> str:
    """The answer of `choose` in words."""
    choice, cost = found["choice"], found["cost"]
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
        f"verdict:       {found['verdict']}",
        f"chosen:        {_described(best, found)}",
    ]
    if choice.runner_up is not None:
        lines.append(f"runner-up:     {_described(choice.runner_up, found)}")
    if choice.cheaper is not None:
        saved = 100 * (1 - choice.cheaper[cost] / best[cost])
        loss = _loss(best, choice.cheaper, found)
        lines.append(f"next cheaper:  {loss} and saves {saved:.0f} % of {cost_title(cost)}")
    lines.append(f"how:           {found['by']}")
    lines += [_protocol_line(best, found)] if found["others"] else []
    if choice.unknown:
        lines.append(f"left out:      sizes for which a limited cost was not measured: {choice.unknown}")
    if found["devices"]:
        lines.append(f"latency of:    {', '.join(found['devices'])}")
    return "\n".join([*lines, *_export_lines(best)])


def _loss(best: pd.Series, other: pd.Series, found: dict) -> str:
    loss = found["sign"] * (best.score - other.score)
    noise = " (within the noise)" if tied((best.score, best.error), (other.score, other.error)) else ""
    return f"{other.spec} {'gains' if loss < 0 else 'loses'} {abs(loss):.{found['decimals']}f}{noise}"


def _export_lines(best: pd.Series) -> list[str]:
    """The command and what it cuts, or why there is none."""
    if found := replaced(best):
        return [
            f"export:        not from {best.checkpoint}, which has other contents now (sha256 {found[:8]}): find the "
            f"{best.origin}"
        ]
    return [f"export:        {best.export}", f"from:          {best.origin}"]


def _amount(cost: str, value: float, sign: str = "") -> str:
    return f"{cost_title(cost)}{sign} {number(value / cost_scale(cost))}"


def _named(row: pd.Series) -> str:
    return f"{row.spec} ({row.series})"


def _protocol_line(best: pd.Series, found: dict) -> str:
    """Which of several protocols was taken, why, and whether the others would choose differently."""
    said = [
        f"by {shlex.quote(name)} (as --task) the choice is "
        + ("the same" if other == _named(best) else other or "none")
        for name, other in found["others"].items()
    ]
    return f"protocol:      {found['column']} was taken: {found['why']}; {'; '.join(said)}"


def _described(row: pd.Series, found: dict) -> str:
    known = [name for name in found["costs"] if pd.notna(row[name])]
    shown = ", ".join(f"{number(row[name] / cost_scale(name))} {cost_title(name)}" for name in known)
    return f"{_named(row)}: {score(row.score, row['std'], found['decimals'])}; {shown}"


def _quoted(names: pd.Index) -> str:
    return ", ".join(repr(name) for name in names)
