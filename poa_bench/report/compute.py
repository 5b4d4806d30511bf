"""What the networks of a report have cost before they were measured: pre-training, and that of a frozen teacher."""

from __future__ import annotations

import pandas as pd

from poa_bench.report.frame import ReportData

_UNITS = {"core_hours": "core hours", "gpu_hours": "GPU hours"}
_SCALES = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"))


def compute_table(data: ReportData) -> pd.DataFrame:
    """Of each pre-trained series what its results say, added up over its pre-trainings' checkpoints.

    Returns:
        Indexed by series: `pretrainings`, and as far as they are said `pretraining_images`, `pretraining_flop`,
        `pretraining_core_hours`, `pretraining_gpu_hours` and, of the frozen teachers, `teacher_flop`, ...: means over
        the pre-trainings, so that the cost of one is comparable.
    """
    fresh = data.long[(data.long.stale == "") & data.long.series.isin(data.pretrained)]
    names = [name for name in fresh if name.startswith(("facts.pretraining_", "facts.teacher_"))]
    each = fresh.drop_duplicates(["series", "checkpoint_sha256"]).set_index("series")
    found = each[names].astype(float).groupby(level=0).mean().rename(columns=lambda name: name.removeprefix("facts."))
    found.insert(0, "pretrainings", each.groupby(level=0).size())
    return found.reindex(data.pretrained).dropna(how="all", subset=found.columns[1:])


def compute_sentences(data: ReportData) -> list[str]:
    """A sentence for each series of which it is known."""
    return [_sentence(series, row.dropna()) for series, row in compute_table(data).iterrows()]


def operations_text(flop: float) -> str:
    """Floating-point operations in words.

    >>> operations_text(1.234e16)
    '12.3 PFLOP'
    """
    scale, unit = next(((scale, unit) for scale, unit in _SCALES if flop >= scale), _SCALES[-1])
    return f"{flop / scale:.3g} {unit}"


def _sentence(series: str, row: pd.Series) -> str:
    several = " on average" if row.pretrainings > 1 else ""
    text = f"Pre-training of {series} cost{several} {_amounts(row, 'pretraining')}"
    if "pretraining_images" in row:
        text += f" for {row.pretraining_images:,.0f} pictures"
    teacher = _amounts(row, "teacher")
    return f"{text}{f', its teacher before that {teacher}' if teacher else ''}."


def _amounts(row: pd.Series, whose: str) -> str:
    """`12.3 PFLOP and 0.5 core hours`."""
    said = []
    if f"{whose}_flop" in row:
        said.append(operations_text(row[f"{whose}_flop"]))
    said += [f"{row[f'{whose}_{name}']:.3g} {unit}" for name, unit in _UNITS.items() if f"{whose}_{name}" in row]
    return " and ".join(said)
