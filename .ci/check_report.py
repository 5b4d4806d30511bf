"""Checks what `poa-bench demo` left: every size measured, pre-training worth it, a report that stands on its own.

usage: python .ci/check_report.py DEMO_FOLDER [--quick]

The whole demo has every task at every size, and each tells pre-training from random weights at every size by more than
its 95 % interval. The quick demo's short pre-training must beat random weights in k-NN.
"""

import re
import sys
from pathlib import Path

import pandas as pd

from poa_bench.report.frame import RANDOM, load_report_data
from poa_bench.report.missing import holes
from poa_bench.report.ties import score_of
from poa_bench.runs.results import read_results
from poa_bench.tasks import light_tasks

LIGHT = tuple(light_tasks())
GROWING = 3  # tasks by which the largest size is better than the smallest, at least


def main(folder: Path, quick: bool) -> None:
    """Raise AssertionError with what is wrong."""
    long = read_results(folder / "results")
    light = long[long.task.isin(LIGHT) & (long.initialisation == "pretrained")]
    sizes = set(light.spec)
    assert len(sizes) >= 12, f"only {len(sizes)} sizes: {sorted(sizes)}"
    for task, rows in light.groupby("task"):
        assert set(rows.spec) == sizes, f"{task} lacks {sorted(sizes - set(rows.spec))}"
    check_controls(long, quick)
    check_dense(long)
    if not quick:
        check_that_tasks_tell(folder / "results", sizes)
    check_page(folder / "report", sizes)
    print(f"{long.run_id.nunique()} runs over {len(sizes)} sizes: complete, above random initialisation, and reported")


def check_controls(long: pd.DataFrame, quick: bool) -> None:
    """k-NN of every size is above the same size at random initialisation and above raw pixels, of patches too."""
    knn = (
        long[long.task.isin(["knn"] if quick else ["knn", "patch-knn", "patch-linear"]) & long.primary]
        .groupby(["protocol", "initialisation", "spec"], dropna=False)
        .value.mean()
    )
    for protocol in knn.index.unique("protocol"):
        trained, random = knn[protocol]["pretrained"], knn[protocol]["random"]
        losers = list(trained.index[trained <= random.reindex(trained.index)])
        assert not losers and not random.reindex(trained.index).isna().any(), f"{protocol}: not above random: {losers}"
        pixels = knn[protocol]["pixels"].iloc[0]
        assert quick or trained.min() > pixels, (
            f"{protocol}: {trained.idxmin()} has {trained.min():.2f}, pixels {pixels:.2f}"
        )


def check_dense(long: pd.DataFrame) -> None:
    """Detection and segmentation ran pre-trained and at random initialisation, with all backbone tensors loaded."""
    dense = long[~long.task.isin(LIGHT)]
    kinds = set(zip(dense.task, dense.initialisation, strict=True))
    expected = {(task, start) for task in ("detection", "segmentation") for start in ("pretrained", "random")}
    assert expected <= kinds, f"missing: {sorted(expected - kinds)}"
    trained = dense[dense.initialisation == "pretrained"]
    assert (trained.tensors_loaded == trained.tensors_total).all(), "a backbone was not loaded as a whole"
    assert trained.value.notna().all()


def check_that_tasks_tell(results: Path, sizes: set[str]) -> None:
    """No cell is missing; pre-training is told from random weights at every size, and large sizes from the smallest."""
    data = load_report_data(results)
    missing = holes(data)
    assert missing.empty, f"{len(missing)} cells are missing, e.g. {missing.iloc[0].to_dict()}"
    (series,) = data.pretrained
    growing, blind = set(), []
    for column in data.primaries:
        task = data.columns.task[column]
        scores = {spec: score_of(data, column, series, spec) for spec in sizes}
        assert all(score.sample for score in scores.values()), f"{column} has no outcomes"
        random = {spec: score_of(data, column, RANDOM, spec) for spec in sizes}
        blind += [f"{column} at {spec}" for spec in sizes if not scores[spec].better(random[spec])]
        order = sorted(sizes, key=lambda spec: data.costs.parameters[series, spec])
        growing |= {task} if scores[order[-1]].better(scores[order[0]]) else set()
    assert not blind, f"does not tell pre-training from random weights: {', '.join(sorted(blind))}"
    assert len(growing) >= GROWING, f"only by {sorted(growing)} the largest size is better than the smallest"


def check_page(report: Path, sizes: set[str]) -> None:
    """The page and the table name every size, and the page asks nothing from the network."""
    page = (report / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|png|svg)', page), "the page loads from the network"
    table = pd.read_csv(report / "results_wide.csv")
    for name, text in (("page", page), ("table", " ".join(table["size"]))):
        assert not [size for size in sizes if size not in text], f"the {name} lacks a size"
    assert (report / "report.md").stat().st_size > 1000


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--quick" in sys.argv[2:])
