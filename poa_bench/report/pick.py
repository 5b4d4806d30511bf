"""Which size to deploy: the cheapest that ties with the best within a budget, and what the next cheaper size loses.

Sizes are chosen by validation scores where there are some; the scores shown are those of the test split. Whether the
one chosen is any good is said first, by `verdict.py`.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from poa_bench.errors import InputError
from poa_bench.report.analysis import verdict
from poa_bench.report.frame import ReportData, costs, load_report_data
from poa_bench.report.origin import origins
from poa_bench.report.tables import decimals_of
from poa_bench.report.ties import beaten, score_of
from poa_bench.report.verdict import verdict_text
from poa_bench.runs.results import VALIDATION

BUSY = "busy "


@dataclass(frozen=True)
class Choice:
    """The answer: rows of `candidates`, None where there is no such size.

    Attributes:
        best: the cheapest of `group`.
        group: what cannot be told apart from the highest rank within the limits, cheapest first.
        highest: of the group.
        runner_up: the next of the group, or else of the rest by rank.
        cheaper: the best size that costs less than `best`.
        unknown: sizes left out because a limited cost was never measured for them.
        allowed: every row within the limits.
    """

    best: pd.Series | None
    runner_up: pd.Series | None
    cheaper: pd.Series | None
    unknown: int
    allowed: pd.DataFrame
    group: pd.DataFrame
    highest: pd.Series | None = None


@lru_cache(maxsize=1024)
def candidates(data: ReportData, column: str) -> pd.DataFrame:
    """Every pre-trained size measured, and the costs in base units.

    Returns:
        `series`, `spec`, `score` (mean over repeats), `std`, `error` (of the mean), `low` and `high` (its interval),
        `rank` (validation score if every size has one, else score, times `sign`: the larger the better), the columns of
        `origins`, a column per cost, and with `BUSY` before its name whether it was measured on a busy machine.
    """
    scores = _scored(data, column)
    rank = data.columns.sign[column] * _scored(data, chosen_by(data, column))["mean"]
    scores = scores.assign(rank=rank).rename(columns={"mean": "score"})
    scores = scores.reset_index().join(origins(data), on=["series", "spec"]).join(data.costs, on=["series", "spec"])
    scores = scores.join(data.disturbed.add_prefix(BUSY), on=["series", "spec"])
    return scores.sort_values(["series", "spec"]).reset_index(drop=True)


def _scored(data: ReportData, column: str) -> pd.DataFrame:
    cells = data.cells[(data.cells.column == column) & data.cells.series.isin(data.pretrained)]
    return cells.dropna(subset=["mean"]).set_index(["series", "spec"])[["mean", "std", "error", "low", "high"]]


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
        return (
            "chosen by these validation scores themselves, so that of the chosen one is likely to be a little too high"
        )
    return (
        f"chosen on the {about.split} split itself, since not every size has a validation score: the score "
        "of the chosen one is likely to be a little too high"
    )


def beaten_rows(data: ReportData, column: str) -> NDArray:
    """Which rows of `candidates` are worse than others beyond doubt, by what they are chosen by: [one, other]."""
    keys = list(candidates(data, column)[["series", "spec"]].itertuples(index=False, name=None))
    return beaten(data, chosen_by(data, column)).loc[keys, keys].to_numpy()


def pick(
    table: pd.DataFrame, limits: Mapping[str, float], cost: str = "parameters", worse: NDArray | None = None
) -> Choice:
    """Choose from `candidates` within `limits`: the cheapest of those that cannot be told apart from the best.

    Of these, sizes whose limited costs and `cost` were not disturbed by other work come before all others.

    Args:
        table: of `candidates`.
        limits: {cost: highest allowed}.
        cost: what "cheaper" means.
        worse: of `beaten_rows`; by default only equal ranks are a tie.
    """
    if worse is None:
        worse = table["rank"].to_numpy()[None] > table["rank"].to_numpy()[:, None]
    known = table.dropna(subset=[*limits])
    unknown = len(table) - len(known)
    for name, limit in limits.items():
        known = known[known[name] <= limit]
    ranked = known.sort_values(["rank", cost], ascending=[False, True], kind="stable")
    if ranked.empty:
        return Choice(None, None, None, unknown, known, ranked)
    places = table.index.get_indexer(ranked.index)
    tie = ~worse[np.ix_(places, places)].any(1)
    busy = ranked[[name for name in (BUSY + cost for cost in {*limits, cost}) if name in ranked]].eq(True).any(axis=1)
    group = ranked[tie].assign(busy=busy).sort_values(["busy", cost], kind="stable")
    best = group.iloc[0]
    rest = pd.concat([group.iloc[1:], ranked[~tie]])
    cheaper = ranked[ranked[cost] < best[cost]]
    return Choice(
        best,
        None if rest.empty else rest.iloc[0],
        None if cheaper.empty else cheaper.iloc[0],
        unknown,
        known,
        group,
        ranked[tie].iloc[0],
    )


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
    data = load_report_data(results, task.split()[0])
    column, *others = find_columns(data, task, metric)
    if not data.columns.sign[column]:
        raise InputError(f"neither more nor less of {column} is better: choose by another metric")
    bounds = {_cost_of(data, column, name): value for name, value in limits.items() if value is not None}
    if latency[0] is not None:
        bounds = {find_latency(data, latency[1]): latency[0], **bounds}
    cost = next(iter(bounds), "parameters")
    best = {name: pick(candidates(data, name), bounds, cost, beaten_rows(data, name)).best for name in others}
    table = candidates(data, column)
    choice = pick(table, bounds, cost, beaten_rows(data, column))
    return {
        "column": column,
        "sign": data.columns.sign[column],
        "by": choice_sentence(data, column),
        "loss": _loss(data, column, choice),
        "interval": _interval(data, column, choice.best),
        "cost": cost,
        "costs": list(data.costs),
        "choice": choice,
        "verdict": _verdict(data, column, choice),
        "lowest": {name: table.loc[table[name].idxmin()] for name in bounds if table[name].notna().any()},
        "limits": bounds,
        "decimals": decimals_of(data, column),
        "others": {name: None if row is None else named(row) for name, row in best.items()},
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


def named(row: pd.Series) -> str:
    """Size and series."""
    return f"{row.spec} ({row.series})"


def _loss(data: ReportData, column: str, choice: Choice) -> str:
    """What the next cheaper size loses."""
    if choice.cheaper is None:
        return ""
    best, other = (score_of(data, column, row.series, row.spec) for row in (choice.best, choice.cheaper))
    loss, noise = best.merit - other.merit, " (within the noise)" if best.ties(other) else ""
    return f"{other.name} {'gains' if loss < 0 else 'loses'} {abs(loss):.{decimals_of(data, column)}f}{noise}"


def _interval(data: ReportData, column: str, best: pd.Series | None) -> str:
    """The 95 % interval of the chosen score, where it is known."""
    if best is None or best.low != best.low:
        return ""
    decimals = decimals_of(data, column)
    return f"{best.low:.{decimals}f} to {best.high:.{decimals}f} (95 %, bootstrap over pictures and repeats)"


def _quoted(names: pd.Index) -> str:
    return ", ".join(repr(name) for name in names)
