"""Two or more checkpoints, recipes or published methods, size by size, with the spread over repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from poa_bench.errors import InputError
from poa_bench.report.bootstrap import Sample, error_of, p_value
from poa_bench.report.frame import PIXELS, RANDOM, ReportData, costs, load_report_data, signs, sort_specs
from poa_bench.report.noise import standard_errors
from poa_bench.report.published import main_rows, read_published, same_dataset
from poa_bench.report.samples import Draws
from poa_bench.report.verdict import Score, leads

PUBLISHED = "published:"
_GROUP = ["spec", "task", "metric", "dataset", "protocol", "settings"]


@dataclass(frozen=True)
class Side:
    """One thing to compare.

    Attributes:
        name: how it is called in the table.
        rows: `spec`, `task`, `dataset`, `metric`, `protocol`, `variant`, `settings` (a text that says number type and
            settings as `config_hash`), `seed`, `pretraining_seed`, `value`, `sign`; one row per run. Published: seed 0.
        published: its numbers were not measured here.
        controls: (size, task, metric, data set, protocol) -> the highest control of its folder; raw pixels: size "".
        draws: of the outcomes of its runs.
    """

    name: str
    rows: pd.DataFrame
    published: bool
    controls: dict[tuple, Score] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)


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
    fresh = data.long[(data.long.stale == "") & ~costs(data.long.task)].sort_values("created")
    kind = fresh["facts.dtype"].fillna("not said") if "facts.dtype" in fresh else "not said"
    fresh = fresh.assign(settings=kind + " " + fresh.config_hash.str[:8])
    short, controls = Path(folder or text).name, _controls(data)
    titles = {name: short if len(names) == 1 and not series else f"{short}:{name}" for name in names}
    return [Side(title, fresh[fresh.series == name], False, controls, data.draws) for name, title in titles.items()]


def _controls(data: ReportData) -> dict[tuple, Score]:
    cells = data.cells[data.cells.series.isin(data.controls)].dropna(subset=["mean"])
    cells = cells.join(data.columns[["task", "metric", "dataset", "protocol", "sign"]], on="column").sort_values("mean")
    return {
        (row.spec, row.task, row.metric, row.dataset, row.protocol): Score(
            PIXELS if row.series == PIXELS else RANDOM,
            row.mean,
            row.error,
            row.sign,
            data.samples.get((row.series, row.spec, row.column)),
        )
        for row in cells.itertuples()
    }


def _published(method: str, folder: str | None) -> Side:
    table = read_published(folder)
    rows = main_rows(table[table.method == method])
    if rows.empty:
        known = sorted(set(table.method[table.spec != ""]))
        raise InputError(f"no published numbers of {method!r}: there are {', '.join(known) or 'none'}")
    unsaid = {"seed": 0, "pretraining_seed": float("nan"), "variant": "", "settings": ""}
    return Side(f"{method} (published)", rows.assign(sign=signs(rows), **unsaid), True)


def compare(sides: list[Side]) -> pd.DataFrame:
    """Every (size, task, metric) that the first side and another one have.

    Returns:
        `size`, `task`, `metric`, `dataset`, `protocol`, `variant` (the first side's), `first`, `second` (names),
        `mean_first`, `mean_second`, `std_first`, `std_second`, `difference` (second - first), `low` and `high` (its
        95 % interval) and `p` where both sides have outcomes (`bootstrap.py`), else only `p` (two-sided paired t-test
        over common repeats, missing below 2 or without spread), `repeats` (common ones: pre-training seeds where a side
        has several, each the mean of its measurement seeds, else measurement seeds), `note` (what is not the same:
        protocol, settings, seeds), `error_first`, `error_second` (standard errors of the means, missing where nothing
        is known), `noise` (how large a difference must be), `control` and `control_score` (the best one at this size,
        raw pixels included, where either side's folder has one), `above_control` (whether either side is better than
        it), `lead` (of the second side: ahead, behind or tie, see `verdict.leads`), `sign` (1 where more is better, -1
        where less is, else 0).

    Raises:
        InputError: fewer than two sides, or nothing in common.
    """
    if len(sides) < 2:
        raise InputError(f"only {[side.name for side in sides]} to compare: name at least two")
    frames = [_pairs(sides[0], other) for other in sides[1:]]
    table = pd.concat(frames, ignore_index=True)
    if table.empty:
        names = " and ".join(side.name for side in sides)
        raise InputError(
            f"{names} have no size and task in common: nothing to compare. Networks of different sizes, or from "
            "outside, stand on the same axes in a report of a folder that holds the results of all (poa-bench report)"
        )
    table = _judged(table)
    order = {spec: place for place, spec in enumerate(sort_specs(table["size"]))}
    keys = {"size": lambda column: column.map(order)}
    by = ["task", "metric", "dataset", "protocol", "variant", "size"]
    return table.sort_values(by, key=lambda column: keys.get(column.name, lambda c: c)(column), kind="stable")


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """What `_pair` knows of repeats, test sets and outcomes as errors, intervals and verdicts."""
    table = table.reset_index(drop=True)
    for side in ("first", "second"):
        facts = ["mean", "std", "seeds", "test_images", "test_balanced_images", "val_images"]
        cells = table[[f"{name}_{side}" for name in facts]].set_axis(facts, axis=1).astype(float)
        cells = cells.assign(pretrainings=1, metric=table.metric, unit=table.unit)
        samples = table[f"sample_{side}"]
        errors = zip(samples, standard_errors(cells), strict=True)
        table[f"error_{side}"] = [known if sample is None else error_of(sample) for sample, known in errors]
        table = table.drop(columns=[f"{name}_{side}" for name in facts[2:]])
    pairs = [(_score(row, "first"), _score(row, "second")) for row in table.itertuples()]
    both = [None not in (first.sample, second.sample) for first, second in pairs]
    table["noise"] = [first.margin(second) or math.nan for first, second in pairs]
    table["low"] = (table.difference - table.noise).where(both)
    table["high"] = (table.difference + table.noise).where(both)
    of_runs = zip(pairs, both, table.p, strict=True)
    table["p"] = [p_value(one.sample, two.sample) if known else p for (one, two), known, p in of_runs]
    table["above_control"] = [
        any(side.better(control) for side in pair) for pair, control in zip(pairs, table.control_of, strict=True)
    ]
    for _, rows in table.groupby(["first", "second", *_GROUP[1:5], "variant"], sort=False):
        table.loc[rows.index, "lead"] = leads([pairs[place] for place in rows.index])
    return table.drop(columns=["unit", "sample_first", "sample_second", "control_of"])


def _score(row: Any, side: str) -> Score:
    mean, error, sample = (getattr(row, f"{what}_{side}") for what in ("mean", "error", "sample"))
    return Score("", mean, error, int(row.sign), sample)


def _pairs(first: Side, second: Side) -> pd.DataFrame:
    rows = []
    ours, theirs = (dict(list(side.rows.groupby(_GROUP, sort=False))) for side in (first, second))
    for key, mine in ours.items():
        same = [other for other in theirs if _comparable(key, other, first.published or second.published)]
        # where the same settings were measured on both sides, others are not compared with them
        same = [other for other in same if key[5] == other[5]] or [
            other for other in same if not any(key[:5] + other[5:] == some for some in ours)
        ]
        rows += [_pair(first, second, mine, theirs[other], key, other) for other in same]
    return pd.DataFrame(rows)


def _comparable(key: tuple, other: tuple, published: bool) -> bool:
    return key[:3] == other[:3] and (same_dataset(key[3], other[3]) if published else key[3:5] == other[3:5])


def _pair(first: Side, second: Side, ours: pd.DataFrame, theirs: pd.DataFrame, key: tuple, other: tuple) -> dict:
    notes = [f"protocols differ: {key[4]} / {other[4]}"] if key[4] != other[4] else []
    if first.published or second.published:
        a, b = ours.value, theirs.value
        common = a.index[:0]
    else:
        notes += [f"settings differ: {key[5]} / {other[5]}"] if key[5] != other[5] else []
        (ours, theirs), said = _repeats(ours, theirs)
        notes += said
        a, b = (side.groupby("repeat").value.mean() for side in (ours, theirs))
        common = a.index.intersection(b.index)
        ours, theirs = (side[side.repeat.isin(common)] if len(common) else side for side in (ours, theirs))
        a, b = (a[common], b[common]) if len(common) else (a, b)
    known = [side.controls.get((spec, *key[1:5])) for side in (first, second) for spec in (key[0], "")]
    control = max(filter(None, known), key=lambda each: each.merit, default=Score("", float("nan"), float("nan")))
    images = {
        f"{split}_{place}": rows.get(f"facts.{split}", pd.Series([float("nan")])).iloc[-1]
        for place, rows in (("first", ours), ("second", theirs))
        for split in ("test_images", "test_balanced_images", "val_images")
    }
    return {
        "size": key[0],
        "task": key[1],
        "metric": key[2],
        "dataset": key[3],
        "protocol": key[4],
        "variant": ours.variant.iloc[0],
        "first": first.name,
        "second": second.name,
        "mean_first": a.mean(),
        "mean_second": b.mean(),
        "std_first": a.std(),
        "std_second": b.std(),
        "difference": b.mean() - a.mean(),
        "p": paired_p(a[common], b[common]),
        "repeats": len(common),
        "note": "; ".join(notes),
        "control": control.name,
        "control_score": control.mean,
        "control_of": control,
        "sign": (theirs if first.published else ours).sign.iloc[-1],
        "sample_first": _sample(first, ours),
        "sample_second": _sample(second, theirs),
        "unit": ours.get("unit", theirs.get("unit", pd.Series(["%"]))).iloc[0],
        "seeds_first": len(a),
        "seeds_second": len(b),
        **images,
    }


def _sample(side: Side, rows: pd.DataFrame) -> Sample | None:
    if "repeat" not in rows:  # nothing was paired, because a side is published
        return None
    return side.draws.sample(list(rows[["run_id", "metric", "value"]].itertuples()), rows.repeat)


def _repeats(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[list[pd.DataFrame], list[str]]:
    """The rows of both sides with their `repeat`, a seed, and what is not the same of their seeds.

    Measurement seeds that one side lacks are left out. Where a side has several pre-trainings, these are the repeats.
    """
    notes, sides = _common(ours, theirs, "seed", "measurement seed")
    sides = [side.assign(pretraining_seed=side.pretraining_seed.astype("string").fillna("not said")) for side in sides]
    sides = [side.drop_duplicates(["pretraining", "seed"], keep="last") for side in sides]
    if max(side.pretraining.nunique() for side in sides) == 1:
        return [side.assign(repeat=side.seed) for side in sides], notes
    whole = [_complete(side) for side in sides]
    if sum(map(len, whole)) < sum(map(len, sides)):
        notes.append("pre-trainings that lack a measurement seed left out")
    more, whole = _common(*whole, "pretraining_seed", "pre-training seed")
    return [side.assign(repeat=side.pretraining_seed) for side in whole], notes + more


def _complete(rows: pd.DataFrame) -> pd.DataFrame:
    """The pre-trainings that have every measurement seed which any of them has."""
    return rows[rows.groupby("pretraining").seed.transform("nunique") == rows.seed.nunique()]


def _common(
    ours: pd.DataFrame, theirs: pd.DataFrame, name: str, words: str
) -> tuple[list[str], tuple[pd.DataFrame, pd.DataFrame]]:
    """The rows of seeds that both have, or all rows where there are none, and a note where they differ."""
    a, b = set(ours[name]), set(theirs[name])
    if a == b:
        return [], (ours, theirs)
    if not a & b:
        return [f"no common {words}"], (ours, theirs)
    text = f"{words}s {_listed(a)} and {_listed(b)}: common ones only"
    return [text], (ours[ours[name].isin(a & b)], theirs[theirs[name].isin(a & b)])


def _listed(seeds: set) -> str:
    return f"[{', '.join(map(str, sorted(seeds)))}]"


def paired_p(first: pd.Series, second: pd.Series) -> float:
    """Two-sided p of the paired t-test; missing below two pairs or where the differences do not vary."""
    if len(first) < 2 or (second - first).std() < 1e-12:
        return float("nan")
    return float(stats.ttest_rel(second, first).pvalue)
