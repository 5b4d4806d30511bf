"""Learning curves from mmengine's own logs (`vis_data/scalars.json`), where a run kept them."""

from __future__ import annotations

import json
import os
from math import isfinite
from pathlib import Path

import pandas as pd

from poa_bench.report.frame import ReportData

POINTS = 300  # per curve: more would only make the page heavy
_COUNTERS = {"step", "iter", "epoch", "time", "data_time", "memory", "eta"}


def read_curves(data: ReportData, results: str | os.PathLike) -> pd.DataFrame:
    """Scalars over steps of pre-training (logs beside the checkpoints) and of downstream runs (logs in their folders).

    Returns:
        Columns `run`, `scalar`, `step`, `value`; empty where no log is found.
    """
    runs = data.long[data.long.stale == ""].drop_duplicates("run_id")
    trained = runs.dropna(subset=["checkpoint"]).drop_duplicates(["series", "checkpoint"])
    several = trained.series.duplicated(keep=False)  # networks each trained alone
    names = trained.series.where(~several, trained.series + " " + trained.spec)
    folders = {f"pre-training {name}": Path(path).parent for name, path in zip(names, trained.checkpoint, strict=True)}
    for row in runs.itertuples():
        folders[f"{row.task} {row.spec} ({row.series}, seed {row.seed})"] = Path(results) / row.run_id
    curves = [read_scalars(folder).assign(run=name) for name, folder in folders.items() if folder.is_dir()]
    curves = [curve for curve in curves if not curve.empty]
    columns = ["run", "scalar", "step", "value"]
    return pd.concat(curves, ignore_index=True)[columns] if curves else pd.DataFrame(columns=columns)


def read_scalars(folder: Path) -> pd.DataFrame:
    """All scalar logs below a folder, later lines of the same step winning (a resumed run logs steps again)."""
    values: dict[tuple[str, int], float] = {}
    for path in sorted(folder.rglob("scalars.json"), key=lambda path: path.stat().st_mtime):
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = _entry(line)
            step = entry.get("step", entry.get("iter"))
            for name, value in entry.items():
                # with fp16 loss scaling a gradient norm may be infinite
                if name not in _COUNTERS and step is not None and isinstance(value, (int, float)) and isfinite(value):
                    values[name, int(step)] = float(value)
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
