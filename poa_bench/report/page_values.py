"""What the page's own script reads: the numbers of charts and choices, packed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from poa_bench.report.figures import ChartData
from poa_bench.report.frame import ReportData
from poa_bench.report.pick import choice_sentence, chosen_by
from poa_bench.report.ties import beaten, score_of


def page_values(data: ReportData, drawn: ChartData, charts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The page's data as JSON has it; `charts` are those of `page.page_charts`."""
    titles = {name: short for short, name in drawn.scores.items()}
    return {
        "specs": {name: chart["spec"] for name, chart in charts.items()},
        "datasets": drawn.datasets | {"curves": packed_curves(drawn.curves)},
        "scores": drawn.scores,
        "costs": drawn.costs,
        "chosenBy": {short: titles[chosen_by(data, name)] for short, name in drawn.scores.items()},
        "worth": drawn.worth,
        "signs": drawn.signs,
        "how": {short: choice_sentence(data, name) for short, name in drawn.scores.items()},
        "same": same_by_other_protocols(data, drawn),
        "beaten": packed_ties(data, drawn),
    }


def packed_ties(data: ReportData, drawn: ChartData) -> dict[str, dict[str, list]]:
    """By score that others are chosen by, which row is worse than which beyond doubt, for `pick` of the page.

    Returns:
        Of the rows of `ChartData.rows` that can be exported: their `order`, the best first, and in `rows` for each one
        how many of the first in that order are better than it, then the places in that order of those that are not.
        `isBeaten` of `assets/page.js` reads it.
    """
    rows = [(row["series"], row["spec"]) for row in drawn.rows if "export" in row]
    titles = {name: short for short, name in drawn.scores.items()}
    found = {}
    for column in sorted({chosen_by(data, name) for name in data.scores if data.columns.sign[name]}):
        worse = beaten(data, column).reindex(index=rows, columns=rows, fill_value=False).to_numpy()
        merits = [score_of(data, column, *key).merit for key in rows]
        order = sorted(range(len(rows)), key=lambda place: (merits[place] != merits[place], -merits[place]))
        lines = [[place for place, other in enumerate(order) if worse[row, other]] for row in range(len(rows))]
        last = [line[-1] + 1 if line else 0 for line in lines]
        found[titles[column]] = {
            "order": order,
            "rows": [[end, *sorted(set(range(end)) - set(line))] for end, line in zip(last, lines, strict=True)],
        }
    return found


def packed_curves(curves: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Learning curves by column, names once: one record per point would be the heaviest of the page's own data.

    Args:
        curves: records of `run`, `scalar`, `step` and `value`, as `ChartData.curves`.

    Returns:
        One item per point in `run` and `scalar` (places in `runs` and `scalars`), `step` and `value` (five significant
        digits, more than a chart can show). `unpackedCurves` of `assets/page.js` makes records of them again.
    """
    table = pd.DataFrame(curves, columns=["run", "scalar", "step", "value"])
    run, runs = pd.factorize(table.run)
    scalar, scalars = pd.factorize(table.scalar)
    return {
        "runs": runs.tolist(),
        "scalars": scalars.tolist(),
        "run": run.tolist(),
        "scalar": scalar.tolist(),
        "step": table.step.tolist(),
        "value": [float(f"{value:.5g}") for value in table.value],
    }


def same_by_other_protocols(data: ReportData, drawn: ChartData) -> dict[str, list[str]]:
    """Short name of each score -> those of the same task, data set, settings and metric by other protocols."""
    key = data.columns[["task", "dataset", "settings", "metric"]].apply(tuple, axis=1)
    names = drawn.scores.items()
    return {
        short: [other for other, other_name in names if other != short and key[other_name] == key[name]]
        for short, name in names
    }
