"""Published reference numbers: read like results, kept apart from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from poa_bench.config_files import config_root
from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.report.frame import ReportData

FIELDS = [
    "table", "method", "variant", "architecture", "spec", "task", "dataset",
    "protocol", "metric", "value", "unit", "epochs", "note", "source",
]  # fmt: skip
_SHORT_NAMES = {"imagenet1k": "imagenet", "in1k": "imagenet", "coco2017": "coco", "ade20k150": "ade20k"}


def read_published(folder: str | os.PathLike | None = None) -> pd.DataFrame:
    """All CSV files of published numbers as one table with the columns `FIELDS` (texts; `value` a float).

    Args:
        folder: where the CSV files are; by default the ones that come with the project (an empty table without them).

    Raises:
        InputError: a file lacks a column, a value is no number, or a size cannot be read.
    """
    files = sorted(Path(folder or config_root() / "reports" / "published").glob("*.csv"))
    if not files:
        return pd.DataFrame(columns=FIELDS)
    return pd.concat([_read(path) for path in files], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != FIELDS:
        raise InputError(f"{path} has the columns {list(table.columns)}; published numbers need exactly {FIELDS}")
    try:
        table["value"] = table.value.astype(float)
    except ValueError as error:
        raise InputError(f"{path}: {error}; the column 'value' takes numbers only") from error
    for spec in table.spec[table.spec != ""]:
        SubnetSpec.parse(spec)
    return table


def main_rows(published: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks of a known size, without the variants of ablations, each number once.

    The paper rounds the same number differently in its tables: the more precise one is kept.
    """
    rows = published[(published.spec != "") & (published.variant == "")]
    precise = rows.value.map(lambda value: len(f"{value:g}")).sort_values(ascending=False, kind="stable").index
    return rows.loc[precise].drop_duplicates(["method", "spec", "task", "dataset", "protocol", "metric"]).sort_index()


def beside(data: ReportData, published: pd.DataFrame) -> pd.DataFrame:
    """The published rows whose task, metric and data set were measured here, once for each `column` of ours they fit.

    `ours` says our value at the same size and how it was measured, for each pre-trained network that has one. Protocols
    may differ: both are listed.
    """
    rows = []
    for column in data.columns.itertuples():
        same = (published.task == column.task) & (published.metric == column.metric)
        same &= published.dataset.map(lambda name, column=column: same_dataset(column.dataset, name)).astype(bool)
        ours = _ours(data, column)
        rows.append(published[same].assign(column=column.Index, ours=published.spec[same].map(ours)))
    return pd.concat(rows, ignore_index=True)


def _ours(data: ReportData, column: Any) -> dict[str, str]:
    """Size -> `76.80 by knn-k20-T0.07/1`, with the series and the settings where there are several."""
    cells = data.cells[(data.cells.column == column.Index) & data.cells.series.isin(data.pretrained)]
    cells = cells.dropna(subset=["mean"])
    how = column.protocol + column.settings
    named = len(data.pretrained) > 1
    pairs = zip(cells["mean"], cells.series, strict=True)
    said = [f"{value:.2f} by {how}" + f" ({series})" * named for value, series in pairs]
    return cells.assign(said=said).groupby("spec").said.agg("; ".join).to_dict()


def same_dataset(first: str, second: str) -> bool:
    """True for `imagenet` and `ImageNet-1K`: the same apart from spelling. `cifar10` is not CIFAR-100."""
    return _plain_name(first) == _plain_name(second)


def _plain_name(dataset: str) -> str:
    plain = "".join(letter for letter in dataset.lower() if letter.isalnum())
    return _SHORT_NAMES.get(plain, plain)
