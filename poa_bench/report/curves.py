"""Learning curves from mmengine's own logs (`vis_data/scalars.json`), where a run kept them."""

from __future__ import annotations

import json
import os
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from poa_bench.log_names import current_name
from poa_bench.report.frame import ReportData

POINTS = 300  # per curve: more would only make the page heavy
_COUNTERS = {"step", "iter", "epoch", "time", "data_time", "memory", "eta"}


def read_curves(data: ReportData, results: str | os.PathLike) -> pd.DataFrame:
    """Scalars over steps of pre-training (logs beside the checkpoints) and of downstream runs (logs in their folders).

    Returns:
        Columns `run`, `scalar`, `step`, `value`; empty where no log is found.
    """
    runs = data.long[data.long.stale == ""].drop_duplicates("run_id")
    folders = {name: Path(path).parent for name, path in _pretrainings(runs).items()}
    repeats = runs.groupby(["series", "spec"]).pretraining.transform("nunique") > 1
    for row, repeated in zip(runs.itertuples(), repeats, strict=True):
        seeds = ([_repeat(row)] if repeated else []) + [f"measurement seed {row.seed}"]
        name = f"{row.task}{row.variant} {row.spec} ({', '.join([row.series, *seeds])})"
        folders[name] = Path(results) / row.run_id
    curves = [read_scalars(folder).assign(run=name) for name, folder in folders.items() if folder.is_dir()]
    curves = [curve for curve in curves if not curve.empty]
    columns = ["run", "scalar", "step", "value"]
    return pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)


def _pretrainings(runs: pd.DataFrame) -> dict[str, str]:
    """A name for each pre-training -> the newest path of its checkpoint."""
    trained = runs.dropna(subset=["checkpoint"]).sort_values("created", ascending=False, kind="stable")
    sizes = trained.groupby(["series", "pretraining"]).spec.agg(set)
    trained = trained.drop_duplicates(["series", "pretraining"]).sort_values(["series", "pretraining"])
    names = {}
    for row in trained.itertuples():
        own, others = sizes[row.series, row.pretraining], sizes[row.series].drop(row.pretraining)
        words = ["pre-training", row.series]
        if len(others) and len(own) == 1:  # networks each trained alone
            words.append(row.spec)
        if any(own & other for other in others):
            words.append(f"({_repeat(row)})")
        elif len(others) and len(own) > 1:
            words.append(f"(checkpoint {row.checkpoint_sha256[:8]})")
        names[" ".join(words)] = row.checkpoint
    return names


def _repeat(row: Any) -> str:
    """Which of several pre-trainings."""
    if pd.isna(row.pretraining_seed):
        return f"checkpoint {row.checkpoint_sha256[:8]}"
    return f"pre-training seed {row.pretraining_seed}"


def read_scalars(folder: Path) -> pd.DataFrame:
    """All scalar logs below a folder, later lines of the same step winning (a resumed run logs steps again)."""
    values: dict[tuple[str, int], float] = {}
    for path in sorted(folder.rglob("scalars.json"), key=lambda path: path.stat().st_mtime):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            entry = _entry(line)
            step = entry.get("step", entry.get("iter"))
            for name, value in entry.items():
                # with fp16 loss scaling a gradient norm may be infinite
                if name not in _COUNTERS and step is not None and isinstance(value, (int, float)) and isfinite(value):
                    values[current_name(name), int(step)] = float(value)
    table = pd.DataFrame([(*key, value) for key, value in values.items()], columns=["scalar", "step", "value"])
    table = table.sort_values(["scalar", "step"], kind="stable")
    stride = table.groupby("scalar").step.transform("size") // POINTS + 1
    return table[table.groupby("scalar").cumcount() % stride == 0]


def _entry(line: str) -> dict:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}  # the last line of a run that was killed
    return entry if isinstance(entry, dict) else {}
