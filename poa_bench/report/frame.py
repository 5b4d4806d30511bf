"""The results of a folder as one tidy table, plus what is known about each size, each series and each measured column.

A *series* is a line in a figure: the sizes of one checkpoint or of repeats of one pre-training, or a control (random
initialisation, raw pixels). A *column* is one metric of one task, data set, protocol and settings (`naming.py`). A
*cell* is one (series, size, column): its mean over repeats, which differ in the pre-training or the measurement seed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.outside.name import is_outside
from poa_bench.report.cost_table import cost_tables
from poa_bench.report.naming import PIXELS, RANDOM, costs, series_names, settings_labels, variants, with_known_facts
from poa_bench.report.noise import chance_levels, facts_of_cells, standard_errors
from poa_bench.report.samples import Draws, cell_samples, with_intervals
from poa_bench.report.stale import stale_reasons
from poa_bench.runs.results import load_results, results_frame
from poa_bench.tasks import find_task, light_tasks, todays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poa_bench.report.bootstrap import Sample
    from poa_bench.report.samples import Cell
    from poa_bench.runs.galleries import Gallery

__all__ = ["PIXELS", "RANDOM", "ReportData", "load_report_data", "report_data"]


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that tables, figures and sentences are made from.

    Attributes:
        long: one row per run and metric, as `read_results`, plus `series`, `column`, `variant` (what the column says
            beside task and metric), `settings` (the end of it), `pretraining` (which one of its series) and `stale`
            (empty, or why), and `sign` filled in.
        cells: one row per (series, spec, column): `mean`, `min` and `max` over all its runs, `std` over its
            pre-trainings, each the mean of its measurement seeds, or over measurement seeds where there is one
            pre-training; how many `pretrainings`, `seeds` (of measurement) and `runs` it has, and how many runs are
            `expected`. `mean` is missing where a run is: a mean over a set with a hole is no result. What is known of
            its noise and of chance: `error` (standard error of the mean), `chance`, `classes`, the numbers of test
            pictures; see `noise.py`. Where its runs have outcomes, `error` is the bootstrap's, and `low` and `high` are
            the 95 % interval (missing elsewhere).
        columns: one row per column: task, dataset, split, protocol, metric, unit, primary, variant, settings, `sign` (1
            where more is better, -1 where less is, 0 where neither is).
        costs: one row per (series, spec), a column per cost (`parameters`, `macs`, `weights` in bytes, the profile's).
        disturbed: the same rows and columns: whether other work disturbed the measurement, so that it is too high.
        pretrained: the pre-trained series, the one with the most sizes first, teachers before students, networks from
            outside last.
        controls: the series at random initialisation, then raw pixels.
        broken: result files that could not be read, `{path: why}`.
        samples: what chance may have made of a cell's score, by (series, spec, column), where its runs have outcomes.
        draws: what the samples are made of.
        galleries: what runs have drawn, by run id; read when it is asked for.
    """

    long: pd.DataFrame
    cells: pd.DataFrame
    columns: pd.DataFrame
    costs: pd.DataFrame
    disturbed: pd.DataFrame
    pretrained: list[str]
    controls: list[str]
    broken: dict[str, str] = field(default_factory=dict)
    samples: dict[Cell, Sample] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)
    galleries: Mapping[str, Sequence[Gallery]] = field(default_factory=dict)

    @property
    def scores(self) -> list[str]:
        """Score columns: the primary metric of each task first, then the rest."""
        return list(self.columns.index[~costs(self.columns.task)])

    @property
    def primaries(self) -> list[str]:
        """The primary score column of each (task, data set, protocol)."""
        return list(self.columns.index[~costs(self.columns.task) & self.columns.primary])

    @cached_property
    def cell_groups(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The cells of each (series, column), indexed by spec in order of size."""
        position = {spec: place for place, spec in enumerate(sort_specs(self.cells.spec))}
        ordered = self.cells.iloc[self.cells.spec.map(position).argsort(kind="stable")].set_index("spec")
        return dict(list(ordered.groupby(["series", "column"], sort=False)))

    @cached_property
    def outside(self) -> list[str]:
        """The pre-trained series of networks from outside."""
        named = {series for series, spec in self.costs.index if is_outside(spec)}
        return [series for series in self.pretrained if series in named]

    @lru_cache(maxsize=4)  # noqa: B019  (one per process and report)
    def wide(self, value: str = "mean") -> pd.DataFrame:
        """One row per (series, spec), a column per score, empty where not measured."""
        table = self.cells[self.cells.column.isin(self.scores)]
        table = table.pivot(index=["series", "spec"], columns="column", values=value)
        return table.reindex(index=table.index.union(self.costs.index), columns=self.scores)


def kept_report(folder: Path) -> ReportData:
    """A report's data, from the long table that is kept with it."""
    long = pd.read_csv(folder / "results_long.csv", low_memory=False)
    if "pretraining_seed" not in long:  # of an older version
        long["pretraining_seed"] = None
    return report_data(long.astype({"pretraining_seed": "Int64"}))


def load_report_data(directory: str | os.PathLike, task: str = "") -> ReportData:
    """Read all results below `directory`.

    Args:
        directory: at any depth.
        task: the begin of the names of tasks whose outcomes are looked at; of others only the results are.

    Raises:
        InputError: the folder is missing or holds no result.
    """
    results, broken = load_results(directory, on_broken="aside")
    if not results:
        raise InputError(f"there is no result below {directory}: `poa-bench evaluate` and `poa-bench run` write some")
    wanted = [result for result in results if result.task.startswith(task)]
    galleries = {result.run_id: result.galleries for result in wanted if result.gallery_sha256 or result.galleries}
    return report_data(results_frame(results), broken, Draws.of_results(wanted), galleries)


def report_data(
    long: pd.DataFrame,
    broken: dict[str, str] | None = None,
    draws: Draws | None = None,
    galleries: Mapping[str, Sequence[Gallery]] | None = None,
) -> ReportData:
    """As `load_report_data`, from the long table itself; that of an earlier report keeps what it said to be stale.

    Args:
        long: of `read_results`.
        broken: files that could not be read, and why.
        draws: of the outcomes beside the results; none by default.
        galleries: beside the results, by run id; none by default.
    """
    long = with_known_facts(long.reset_index(drop=True))
    long["spec"] = long.spec.fillna("")
    long["checkpoint"] = long.checkpoint.map(nearby, na_action="ignore")
    long["stale"] = long.stale.fillna("") if "stale" in long else stale_reasons(long)
    long["sign"] = signs(long)
    long["series"] = series_names(long)
    long["settings"] = settings_labels(long)
    long["variant"] = variants(long) + long.settings
    long["column"] = long.task + " " + long.metric + long.variant
    seed = long.pretraining_seed.astype("string").fillna("not said")
    long["pretraining"] = (long.checkpoint_sha256.fillna("") + " " + seed).where(long.checkpoint_sha256.notna(), "")
    fresh = long[long.stale == ""]
    if fresh.empty:
        raise InputError(f"all {long.run_id.nunique()} results are stale ({long.stale.iloc[0]}): measure again")
    columns, draws = _describe_columns(fresh), draws or Draws()
    cells, samples = _cells(fresh, columns, draws)
    return ReportData(
        long,
        cells,
        columns,
        *cost_tables(fresh, cells, columns),
        _pretrained_series(fresh),
        _controls(fresh),
        broken or {},
        samples,
        draws,
        galleries or {},
    )


def signs(rows: pd.DataFrame) -> pd.Series:
    """The `sign` of each row's metric: what its result says, else what the registered task does."""
    known = [find_task(task).metric(metric).sign for task, metric in zip(rows.task, rows.metric, strict=True)]
    said = rows.sign if "sign" in rows else pd.Series(index=rows.index, dtype="Int64")
    return said.astype("Int64").fillna(pd.Series(known, index=rows.index)).astype(int)


parse = lru_cache(maxsize=None)(SubnetSpec.parse)


def nearby(path: str | os.PathLike) -> str:
    """A path as a command typed here would name it: relative to the current folder where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def sort_specs(specs: Sequence[str]) -> list[str]:
    """Specs by family, width, depths (as numbers); the raw-pixel control, which has none, first; others' last."""
    known = set(specs) - {""}
    outside = {spec for spec in known if is_outside(spec)}
    return [""] * ("" in set(specs)) + sorted(known - outside, key=parse) + sorted(outside)


def axes(specs: Sequence[str]) -> pd.DataFrame:
    """The shape of each size: `family`, `width`, `depth` (text), `depth_1`, `depth_2` (first and last), `alias`.

    Networks from outside have no row.
    """
    specs = [text for text in specs if not is_outside(text)]
    parsed = [parse(text) for text in specs]
    rows = [
        {
            "family": spec.family,
            "width": spec.width,
            "depth": "-".join(map(str, spec.depths)),
            "depth_1": spec.depths[0],
            "depth_2": spec.depths[-1],
            "alias": spec.alias or "",
        }
        for spec in parsed
    ]
    columns = ["family", "width", "depth", "depth_1", "depth_2", "alias"]
    return pd.DataFrame(rows, index=pd.Index(specs, name="spec"), columns=columns)


def _describe_columns(fresh: pd.DataFrame) -> pd.DataFrame:
    """One row per column, see `ReportData.columns`; primaries first, then in the order of tasks.

    Within a task, the protocols that are measured by default come first; the order never depends on that of files.
    """
    described = fresh.drop_duplicates("column").set_index("column")
    about = ["task", "dataset", "split", "protocol", "metric", "unit", "primary", "variant", "settings"]
    described = described[about].copy()
    defaults = [protocol.name for task in light_tasks().values() for protocol in task.defaults]
    place = {name: position for position, name in enumerate(defaults)}
    described["sign"] = fresh.sort_values("created").groupby("column").sign.last()  # what the newest result says
    described["order"] = described.task.map(lambda name: find_task(name).place)
    described["default"] = described.protocol.map(todays).map(place).fillna(len(place))
    keys = ["primary", "order", "task", "dataset", "default", "protocol", "variant"]
    described = described.sort_values(keys, ascending=[False, *[True] * 6], kind="stable")
    return described.drop(columns=["order", "default"])


def _cells(fresh: pd.DataFrame, columns: pd.DataFrame, draws: Draws) -> tuple[pd.DataFrame, dict[Cell, Sample]]:
    """Mean and spread over repeats; a cell that lacks one which its series has elsewhere in the column has no mean.

    Returns:
        The cells, and the samples of those whose runs have outcomes.
    """
    keys = ["series", "spec", "column"]
    latest = fresh.sort_values("created").drop_duplicates([*keys, "pretraining", "seed"], keep="last")
    groups = latest.groupby(keys, sort=False)
    cells = groups.value.agg(["mean", "min", "max", "count"]).rename(columns={"count": "runs"})
    cells["pretrainings"], cells["seeds"] = groups.pretraining.nunique(), groups.seed.nunique()
    each = latest.groupby([*keys, "pretraining"], sort=False).value.mean().groupby(keys, sort=False).std()
    # measurement seeds of one pre-training say nothing about another one's result: they are no repeats of it
    cells["std"] = each.where(cells.pretrainings > 1, groups.value.std())
    cells = cells.reset_index()
    column = ["series", "column"]
    seeds = latest.groupby(column).seed.nunique().rename("expected")
    most = cells.groupby(column).pretrainings.max()
    cells = cells.join(seeds * most.rename("expected"), on=column)
    cells["initialisation"] = cells.series.map(latest.drop_duplicates("series").set_index("series").initialisation)
    incomplete = cells.runs < cells.expected
    cells.loc[incomplete, ["mean", "std", "min", "max"]] = float("nan")
    cells = cells.join(facts_of_cells(latest, keys), on=keys)
    cells = cells.assign(error=standard_errors(cells), chance=chance_levels(cells)).drop(columns=["metric", "unit"])
    samples = cell_samples(latest, draws)
    return with_intervals(cells, samples, (columns.unit == "%").to_dict()), samples


def _pretrained_series(fresh: pd.DataFrame) -> list[str]:
    pretrained = fresh[fresh.initialisation == "pretrained"]
    sizes = pretrained.groupby("series").spec.nunique()
    outside = set(pretrained.series[pretrained.spec.map(is_outside)])
    return sorted(sizes.index, key=lambda name: (name in outside, -sizes[name], name.endswith(", student"), name))


def _controls(fresh: pd.DataFrame) -> list[str]:
    kinds = ("random", "pixels")
    return [name for kind in kinds for name in sorted(set(fresh.series[fresh.initialisation == kind]))]
