"""Two or more checkpoints, recipes or published methods, size by size, with the spread over repeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from poa_bench.errors import InputError
from poa_bench.report.frame import PIXELS, RANDOM, ReportData, costs, load_report_data, signs, sort_specs
from poa_bench.report.naming import variants
from poa_bench.report.noise import ahead_sentence, margin, standard_errors
from poa_bench.report.published import main_rows, read_published, same_dataset
from poa_bench.report.tables import score
from poa_bench.report.verdict import Score

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
    """

    name: str
    rows: pd.DataFrame
    published: bool
    controls: dict[tuple, Score] = field(default_factory=dict)


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
    return [Side(title, fresh[fresh.series == name], False, controls) for name, title in titles.items()]


def _controls(data: ReportData) -> dict[tuple, Score]:
    cells = data.cells[data.cells.series.isin(data.controls)].dropna(subset=["mean"])
    cells = cells.join(data.columns[["task", "metric", "dataset", "protocol", "sign"]], on="column").sort_values("mean")
    return {
        (row.spec, row.task, row.metric, row.dataset, row.protocol): Score(
            PIXELS if row.series == PIXELS else RANDOM, row.mean, row.error, row.sign
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
        `mean_first`, `mean_second`, `std_first`, `std_second`, `difference` (second - first), `p` (two-sided paired
        t-test over common repeats, missing below 2 or without spread), `repeats` (common ones: pre-training seeds where
        a side has several, each the mean of its measurement seeds, else measurement seeds), `note` (what is not the
        same: protocol, settings, seeds), `error_first`, `error_second` (standard errors of the means, missing where
        nothing is known), `noise` (how large a difference must be, see `noise.margin`), `control` and `control_score`
        (the best one at this size, raw pixels included, where either side's folder has one), `sign` (1 where more is
        better, -1 where less is, else 0).

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
    table = _with_noise(table)
    order = {spec: place for place, spec in enumerate(sort_specs(table["size"]))}
    keys = {"size": lambda column: column.map(order)}
    by = ["task", "metric", "dataset", "protocol", "variant", "size"]
    return table.sort_values(by, key=lambda column: keys.get(column.name, lambda c: c)(column), kind="stable")


def _with_noise(table: pd.DataFrame) -> pd.DataFrame:
    """What `_pair` knows of repeats and test sets as standard errors."""
    for side in ("first", "second"):
        facts = ["mean", "std", "seeds", "test_images", "test_balanced_images", "val_images"]
        cells = table[[f"{name}_{side}" for name in facts]].set_axis(facts, axis=1).astype(float)
        cells = cells.assign(pretrainings=1, metric=table.metric, unit=table.unit)
        table[f"error_{side}"] = standard_errors(cells)
        table = table.drop(columns=[f"{name}_{side}" for name in facts[2:]])
    table["noise"] = [margin(*pair) or float("nan") for pair in zip(table.error_first, table.error_second, strict=True)]
    return table.drop(columns="unit")


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
        a, b, said = _repeats(ours, theirs)
        notes += said
        common = a.index.intersection(b.index)
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
        "control_error": control.error,
        "sign": (theirs if first.published else ours).sign.iloc[-1],
        "unit": ours.get("unit", theirs.get("unit", pd.Series(["%"]))).iloc[0],
        "seeds_first": len(a),
        "seeds_second": len(b),
        **images,
    }


def _repeats(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.Series, pd.Series, list[str]]:
    """The values of both sides by seed, and what is not the same of their seeds.

    Measurement seeds that one side lacks are left out. Where a side has several pre-trainings, these are the repeats.
    """
    notes, sides = _common(ours, theirs, "seed", "measurement seed")
    sides = [side.assign(pretraining_seed=side.pretraining_seed.astype("string").fillna("not said")) for side in sides]
    sides = [side.drop_duplicates(["pretraining", "seed"], keep="last") for side in sides]
    if max(side.pretraining.nunique() for side in sides) == 1:
        return *(side.set_index("seed").value for side in sides), notes
    whole = [_complete(side) for side in sides]
    if sum(map(len, whole)) < sum(map(len, sides)):
        notes.append("pre-trainings that lack a measurement seed left out")
    more, whole = _common(*whole, "pretraining_seed", "pre-training seed")
    return *(side.groupby("pretraining_seed").value.mean() for side in whole), notes + more


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
    # published numbers have no variants of their own
    ways = rows.variant if (rows.variant != "").any() else variants(rows.assign(stale=""))
    scores = rows.task + " " + rows.metric + ways
    shown = pd.DataFrame(
        {
            "size": rows["size"],
            "score": scores,
            pair[0]: [score(*cell) for cell in zip(rows.mean_first, rows.std_first, strict=True)],
            pair[1]: [score(*cell) for cell in zip(rows.mean_second, rows.std_second, strict=True)],
            "difference": [f"{value:+.2f}" for value in rows.difference],
            "p": ["no test" if pd.isna(p) else f"{p:.3g}" for p in rows.p],
            "note": rows.note,
        }
    )
    verdicts = [_verdict(pair, name, of_score) for name, of_score in rows.groupby(scores, sort=False)]
    table = shown.to_markdown(index=False, disable_numparse=True)
    return f"{pair[1]} against {pair[0]}: {'; '.join(verdicts)}.\n\n{table}"


def _verdict(pair: tuple[str, str], name: str, rows: pd.DataFrame) -> str:
    """Which side is ahead on one score; first, where neither is above a control."""
    sign = rows.sign.iloc[0]
    beaten = [row for row in rows.itertuples() if row.control and not _beats(row)]
    controls = " or ".join(sorted({row.control for row in beaten}, reverse=True))
    side = "above" if sign > 0 else "below"
    text = f"neither is {side} {controls} at {len(beaten)} of {len(rows)} sizes, and " if beaten else ""
    means = sign * rows[["mean_first", "mean_second"]]
    pairs = zip(means.mean_first, rows.error_first, means.mean_second, rows.error_second, strict=True)
    text = f"on {name} {text}{ahead_sentence(*pair, pairs)}"
    return text if (rows.control != "").any() else f"{text} (no control was measured)"


def _beats(row: Any) -> bool:
    """Whether either side is better than the control by more than the noise."""
    control = Score(row.control, row.control_score, row.control_error, row.sign)
    sides = Score("", row.mean_first, row.error_first, row.sign), Score("", row.mean_second, row.error_second, row.sign)
    return any(side.better(control) for side in sides)
