"""One call from a results folder to every file of a report."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from poa_bench import __version__
from poa_bench.files import write_text
from poa_bench.report import sentences, tables
from poa_bench.report.chart_data import chart_data
from poa_bench.report.compute import compute_sentences
from poa_bench.report.curves import read_curves
from poa_bench.report.figure_files import write_figures
from poa_bench.report.fill import PLACE_HOLDERS
from poa_bench.report.frame import ReportData, load_report_data, nearby
from poa_bench.report.galleries import page_galleries
from poa_bench.report.intervals import csv_table, tie_table
from poa_bench.report.missing import grouped, holes
from poa_bench.report.on_request import FIGURE_KINDS, check_kinds, write_on_request
from poa_bench.report.page import page_html, render
from poa_bench.tasks import find_task, protocol_sentence


def write_report(
    results: str | os.PathLike,
    out: str | os.PathLike,
    title: str | None = None,
    with_figures: bool = True,
    also: Iterable[str] = (),
) -> list[Path]:
    """Write every file of the report below `out`.

    Args:
        results: folder with `<run_id>/result.json` at any depth.
        out: folder of the report, made if missing; files of an earlier report are replaced.
        title: heading; by default the folder's name.
        with_figures: also the charts as SVG files.
        also: more kinds of files, of `on_request.KINDS`.

    Returns:
        The files written.

    Raises:
        InputError: the folder is missing or holds no usable result, or what a kind of file needs is not installed.
    """
    also = check_kinds(also)
    data = load_report_data(results)
    context = report_context(data, title or f"poa_bench report: {Path(out).resolve().name}", nearby(results))
    drawn = chart_data(data, read_curves(data, results))
    out = Path(out)
    texts = {
        "results_long.csv": data.long.to_csv(index=False),
        "results_wide.csv": csv_table(data).to_csv(index=False),
        "report.md": render("report.md", context),
        "index.html": page_html(data, drawn, context),
    }
    written = [write_text(out / name, text) for name, text in texts.items()]
    endings = [*["svg"] * with_figures, *(kind for kind in also if kind in FIGURE_KINDS)]
    written += write_figures(data, drawn, out / "figures", endings) if endings else []
    return written + write_on_request(also, data, context["title"], out)


def report_context(data: ReportData, title: str, results: str = "RESULTS_DIR") -> dict[str, Any]:
    """What the templates print: tables as data frames of text, sentences, provenance."""
    missing = holes(data)
    lines = grouped(data, missing, results)
    galleries = page_galleries(data)
    return {
        "title": title,
        "spread": sentences.spread_sentence(data),
        "summary": [*sentences.summary(data), *sentences.trust(data, len(missing))],
        "shown": tables.shown_table(data),
        "narrow": tables.narrow_table(data, tables.main_scores(data)),
        "ties": tie_table(data),
        "payoff": sentences.payoff(data),
        "rivals": [*sentences.rivals(data), *compute_sentences(data)],
        "version": __version__,
        "holes": lines,
        "hole_count": len(missing),
        "place_holders": [name for name in PLACE_HOLDERS if any(name in line for line in lines.command)],
        "stale": stale_table(data),
        "broken": {**data.broken, **data.draws.unread, **galleries.unread},
        "galleries": galleries,
        "protocols": protocol_table(data),
        "stamp": stamp_table(data),
    }


def stale_table(data: ReportData) -> pd.DataFrame:
    """Stale runs: what, and why it is left out."""
    stale = data.long[data.long.stale != ""].drop_duplicates("run_id")
    shown = stale[["run_id", "spec", "task", "dataset", "protocol", "seed", "stale"]]
    return shown.rename(columns={"seed": "measurement_seed"})


def protocol_table(data: ReportData) -> pd.DataFrame:
    """One row per protocol: task, data set, split, name, the sentence and what is unusual of its metrics."""
    keys = ["task", "dataset", "split", "protocol"]
    groups = data.columns.groupby(keys, sort=False)
    rows = [(*key, f"{protocol_sentence(key[0], key[3])}{_unusual(metrics)}") for key, metrics in groups]
    return pd.DataFrame(rows, columns=[*keys, "sentence"])


def _unusual(metrics: pd.DataFrame) -> str:
    """Units and directions of the scores of a protocol that are not percentages of which more is better."""
    if find_task(metrics.task.iloc[0]).is_cost:
        return ""
    sides = {1: "", -1: "less is better", 0: "neither more nor less is better"}
    said = {
        row.metric: ", ".join(filter(None, ["" if row.unit == "%" else row.unit or "no unit", sides[row.sign]]))
        for row in metrics.fillna({"unit": ""}).itertuples()
    }
    return "".join(f" `{name}`: {text}." for name, text in said.items() if text)


def stamp_table(data: ReportData) -> pd.DataFrame:
    """Where the numbers come from: `what` and `value`, one line each."""
    fresh = data.long[data.long.stale == ""]
    runs = fresh.drop_duplicates("run_id")
    dirty = int(runs.git_dirty.sum())
    rows = [("runs", f"{len(runs)} ({runs.created.min():%Y-%m-%d %H:%M} to {runs.created.max():%Y-%m-%d %H:%M} UTC)")]
    rows += [
        ("checkpoint", f"{Path(row.checkpoint).name} (sha256 {row.checkpoint_sha256}, {_seed(row.pretraining_seed)})")
        for row in runs.dropna(subset=["checkpoint"]).drop_duplicates(["checkpoint_sha256", "pretraining"]).itertuples()
    ]
    rows += [("settings", text) for text in settings_sentences(runs)]
    rows.append(
        ("code", ", ".join(sorted(set(runs.git_sha))) + (f"; {dirty} runs with uncommitted changes" if dirty else ""))
    )
    rows += [
        (name.removeprefix("versions."), ", ".join(sorted(set(runs[name].dropna()))))
        for name in runs
        if name.startswith("versions.")
    ]
    rows += [("measured on", text) for text in machine_sentences(runs)]
    rows.append(("tensors loaded", loaded_sentence(runs)))
    rows.append(("machine time", f"{runs.seconds.sum() / 60:.1f} minutes over all runs"))
    return pd.DataFrame(rows, columns=["what", "value"])


def _seed(pretraining_seed: int) -> str:
    return "pre-training seed not said" if pd.isna(pretraining_seed) else f"pre-training seed {pretraining_seed}"


def settings_sentences(runs: pd.DataFrame) -> list[str]:
    """Every value of a setting that differs within a task, and the columns that were measured by it."""
    texts = []
    for name in [name for name in runs if name.startswith("config.")]:
        for task, rows in runs.dropna(subset=[name]).groupby("task"):
            if rows[name].nunique() > 1:
                for value, some in rows.groupby(name):
                    labels = sorted(set(task + some.variant + " (" + some.series + ")"))
                    said = f"{value:.12g}" if isinstance(value, float) else value
                    texts.append(f"{name.removeprefix('config.')} {said}: {', '.join(labels)}")
    return texts


def machine_sentences(runs: pd.DataFrame) -> list[str]:
    """Each device with its number type and threads, and the tasks that were measured with them."""
    facts = [name for name in ("facts.device", "facts.dtype", "facts.threads") if name in runs]
    if "facts.device" not in facts:
        return []
    groups = runs.dropna(subset=["facts.device"]).groupby(facts, dropna=False, sort=True).task
    return [_machine(*keys, tasks=", ".join(sorted(set(tasks)))) for keys, tasks in groups]


def _machine(device: str, dtype: object = None, threads: object = None, tasks: str = "") -> str:
    words = [str(device)]
    words += [str(dtype)] if pd.notna(dtype) else []
    words += [f"{int(threads)} thread{'s' * (int(threads) != 1)}"] if pd.notna(threads) else []
    return f"{', '.join(words)}: {tasks}"


def loaded_sentence(runs: pd.DataFrame) -> str:
    """Whether every pre-trained run loaded its whole backbone."""
    pretrained = runs[(runs.initialisation == "pretrained") & runs.tensors_total.notna()]
    full = int((pretrained.tensors_loaded == pretrained.tensors_total).sum())
    return f"100 % of the backbone in {full} of {len(pretrained)} pre-trained runs that say so"
