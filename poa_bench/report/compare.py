"""Two or more checkpoints, recipes or published methods, size by size, with the seeds' spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy import stats

from poa_bench.errors import InputError
from poa_bench.report.frame import PROFILE, column_names, load_report_data, sort_specs
from poa_bench.report.published import main_rows, read_published, same_dataset
from poa_bench.report.tables import score

PUBLISHED = "published:"
_KEYS = ["spec", "task", "metric"]


@dataclass(frozen=True)
class Side:
    """One thing to compare.

    Attributes:
        name: how it is called in the table.
        rows: `spec`, `task`, `dataset`, `metric`, `protocol`, `seed`, `value`; one row per seed, published ones have
            seed 0.
        published: its numbers were not measured here.
    """

    name: str
    rows: pd.DataFrame
    published: bool


def read_side(text: str, published_folder: str | None = None) -> list[Side]:
    """`RESULTS_DIR` (each of its pre-trained networks), `RESULTS_DIR:SERIES`, or `published:METHOD`.

    Raises:
        InputError: there is no such folder, series or method.
    """
    if text.startswith(PUBLISHED):
        return [_published(text.removeprefix(PUBLISHED), published_folder)]
    folder, _, series = (text, "", "") if Path(text).is_dir() else text.rpartition(":")
    data = load_report_data(folder or text)
    names = data.pretrained if not series else [series]
    if unknown := [name for name in names if name not in set(data.cells.series)]:
        raise InputError(
            f"{folder} has no series {unknown[0]!r}: there are {', '.join(sorted(set(data.cells.series)))}"
        )
    fresh = data.long[(data.long.stale == "") & (data.long.task != PROFILE)]
    short = Path(folder or text).name
    return [
        Side(short if len(names) == 1 and not series else f"{short}:{name}", fresh[fresh.series == name], False)
        for name in names
    ]


def _published(method: str, folder: str | None) -> Side:
    table = read_published(folder)
    rows = main_rows(table[table.method == method])
    if rows.empty:
        known = sorted(set(table.method[table.spec != ""]))
        raise InputError(f"no published numbers of {method!r}: there are {', '.join(known) or 'none'}")
    return Side(f"{method} (published)", rows.assign(seed=0), True)


def compare(sides: list[Side]) -> pd.DataFrame:
    """Every (size, task, metric) that the first side and another one have.

    Returns:
        `size`, `task`, `metric`, `dataset`, `protocol` (the first side's), `first`, `second` (names), `mean_first`,
        `mean_second`, `std_first`, `std_second`, `difference` (second - first), `p` (two-sided paired t-test over
        common seeds, missing below 2 or without spread), `seeds` (common ones), `note` (what is not the same: protocol,
        data set, seeds).

    Raises:
        InputError: fewer than two sides, or nothing in common.
    """
    if len(sides) < 2:
        raise InputError(f"only {[side.name for side in sides]} to compare: name at least two")
    frames = [_pairs(sides[0], other) for other in sides[1:]]
    table = pd.concat(frames, ignore_index=True)
    if table.empty:
        raise InputError(
            f"{' and '.join(side.name for side in sides)} have no size and task in common: nothing to compare"
        )
    order = {spec: place for place, spec in enumerate(sort_specs(table["size"]))}
    keys = {"size": lambda column: column.map(order)}
    by = ["task", "metric", "dataset", "protocol", "size"]
    return table.sort_values(by, key=lambda column: keys.get(column.name, lambda c: c)(column), kind="stable")


def _pairs(first: Side, second: Side) -> pd.DataFrame:
    rows = []
    groups = dict(list(second.rows.groupby([*_KEYS, "dataset", "protocol"], sort=False)))
    for key, ours in first.rows.groupby([*_KEYS, "dataset", "protocol"], sort=False):
        for other, theirs in groups.items():
            exact = not (first.published or second.published)
            if key[:3] == other[:3] and (key[3:] == other[3:] if exact else same_dataset(key[3], other[3])):
                rows.append(_pair(first, second, ours, theirs, key, other))
    return pd.DataFrame(rows)


def _pair(first: Side, second: Side, ours: pd.DataFrame, theirs: pd.DataFrame, key: tuple, other: tuple) -> dict:
    a, b = ours.groupby("seed").value.last(), theirs.groupby("seed").value.last()
    published = first.published or second.published
    common = a.index[:0] if published else a.index.intersection(b.index)
    notes = [f"protocols differ: {key[4]} / {other[4]}"] if key[4] != other[4] else []
    if not published and set(a.index) != set(b.index):
        notes.append(
            f"seeds {sorted(a.index)} and {sorted(b.index)}: common ones only" if len(common) else "no common seed"
        )
        a, b = (a[common], b[common]) if len(common) else (a, b)
    return {
        "size": key[0],
        "task": key[1],
        "metric": key[2],
        "dataset": key[3],
        "protocol": key[4],
        "first": first.name,
        "second": second.name,
        "mean_first": a.mean(),
        "mean_second": b.mean(),
        "std_first": a.std(),
        "std_second": b.std(),
        "difference": b.mean() - a.mean(),
        "p": paired_p(a[common], b[common]),
        "seeds": len(common),
        "note": "; ".join(notes),
    }


def paired_p(first: pd.Series, second: pd.Series) -> float:
    """Two-sided p of the paired t-test; missing below two pairs or where the differences do not vary."""
    if len(first) < 2 or (second - first).std() < 1e-12:
        return float("nan")
    return float(stats.ttest_rel(second, first).pvalue)


def comparison_text(sides: list[str], task: str | None = None, csv: str | None = None) -> str:
    """What `poa-bench compare` prints; the whole table goes to the file `csv`, if given."""
    read = [side for text in sides for side in read_side(text)]
    table = compare(read)
    if task is not None:
        table = table[table.task.str.startswith(task)]
        if table.empty:
            raise InputError(f"the sides have no task {task!r} in common; leave --task out to see what they have")
    if csv:
        table.to_csv(csv, index=False)
    sections = [_section(pair, rows) for pair, rows in table.groupby(["first", "second"], sort=False)]
    alone = [side.name for side in read[1:] if side.name not in set(table.second)]
    return "\n\n".join([*sections, *(f"{name}: nothing in common with {read[0].name}" for name in alone)])


def _section(pair: tuple[str, str], rows: pd.DataFrame) -> str:
    scores = column_names(rows.assign(stale=""))
    shown = pd.DataFrame(
        {
            "size": rows["size"],
            "score": scores,
            pair[0]: [score(*cell) for cell in zip(rows.mean_first, rows.std_first, rows.seeds, strict=True)],
            pair[1]: [score(*cell) for cell in zip(rows.mean_second, rows.std_second, rows.seeds, strict=True)],
            "difference": [f"{value:+.2f}" for value in rows.difference],
            "p": ["no test" if pd.isna(p) else f"{p:.3g}" for p in rows.p],
            "note": rows.note,
        }
    )
    ahead = (rows.difference > 0).groupby(scores, sort=False).agg(["sum", "size"])
    verdict = "; ".join(
        f"{pair[1]} is ahead at {row['sum']} of {row['size']} sizes on {name}" for name, row in ahead.iterrows()
    )
    return f"{pair[1]} against {pair[0]}: {verdict}.\n\n{shown.to_markdown(index=False, disable_numparse=True)}"
