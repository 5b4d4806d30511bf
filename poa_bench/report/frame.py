"""The results of a folder as one tidy table, plus what is known about each size, each series and each measured column.

A *series* is a line in a figure: the sizes of one checkpoint, or a control (random initialisation, raw pixels). A
*column* is one metric of one task, data set and protocol. A *cell* is one (series, size, column): its mean over seeds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from poa_bench.downstream.protocols import DEFAULTS
from poa_bench.elastic.space import SubnetSpec
from poa_bench.errors import InputError
from poa_bench.report.stale import stale_reasons
from poa_bench.sweep.results import read_results

if TYPE_CHECKING:
    from collections.abc import Sequence

PROFILE = "profile"  # the task whose metrics are costs, not scores
PIXELS = "raw pixels"
RANDOM = "random initialisation"


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that tables, figures and sentences are made from.

    Attributes:
        long: one row per run and metric, as `read_results`, plus `series`, `column` and `stale` (empty, or why).
        cells: one row per (series, spec, column): `mean`, `std` over seeds, `seeds` measured, `expected` seeds. `mean`
            is missing where a seed is: a mean over a set with a hole is no result.
        columns: one row per column: task, dataset, split, protocol, metric, unit, primary. Scores: higher is better.
        costs: one row per (series, spec), a column per cost (`parameters`, `macs`, `weights` in bytes, the profile's).
        pretrained: the pre-trained series, the one with the most sizes first.
        broken: result files that could not be read, `{path: why}`.
    """

    long: pd.DataFrame
    cells: pd.DataFrame
    columns: pd.DataFrame
    costs: pd.DataFrame
    pretrained: list[str]
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> list[str]:
        """Score columns: the primary metric of each task first, then the rest."""
        return list(self.columns.index[self.columns.task != PROFILE])

    @property
    def primaries(self) -> list[str]:
        """The primary score column of each (task, data set, protocol)."""
        return list(self.columns.index[(self.columns.task != PROFILE) & self.columns.primary])

    @cached_property
    def cell_groups(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The cells of each (series, column), indexed by spec in order of size."""
        position = {spec: place for place, spec in enumerate(sort_specs(self.cells.spec))}
        ordered = self.cells.iloc[self.cells.spec.map(position).argsort(kind="stable")].set_index("spec")
        return dict(list(ordered.groupby(["series", "column"], sort=False)))

    @lru_cache(maxsize=4)  # noqa: B019  (one per process and report)
    def wide(self, value: str = "mean") -> pd.DataFrame:
        """One row per (series, spec), a column per score, empty where not measured."""
        table = self.cells[self.cells.column.isin(self.scores)]
        table = table.pivot(index=["series", "spec"], columns="column", values=value)
        return table.reindex(columns=self.scores)


def load_report_data(directory: str | os.PathLike) -> ReportData:
    """Read all results below `directory`.

    Raises:
        InputError: the folder is missing or holds no result.
    """
    long = read_results(directory, on_broken="aside")
    if long.empty:
        raise InputError(f"there is no result below {directory}: `poa-bench evaluate` and `poa-bench run` write some")
    return report_data(long, long.attrs.get("broken", {}))


def report_data(long: pd.DataFrame, broken: dict[str, str] | None = None) -> ReportData:
    """As `load_report_data`, from the long table itself."""
    long = long.reset_index(drop=True).copy()
    long["spec"] = long.spec.fillna("")
    long["checkpoint"] = long.checkpoint.map(nearby, na_action="ignore")
    long["stale"] = stale_reasons(long)
    long["series"] = _series(long)
    long["column"] = column_names(long)
    fresh = long[long.stale == ""]
    if fresh.empty:
        raise InputError(f"all {long.run_id.nunique()} results are stale ({long.stale.iloc[0]}): measure again")
    columns = _describe_columns(fresh)
    cells = _cells(fresh)
    return ReportData(long, cells, columns, _costs(fresh, cells, columns), _pretrained_series(fresh), broken or {})


parse = lru_cache(maxsize=None)(SubnetSpec.parse)


def nearby(path: str | os.PathLike) -> str:
    """A path as a command typed here would name it: relative to the current folder where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def sort_specs(specs: Sequence[str]) -> list[str]:
    """Specs by family, width, depths (as numbers); the raw-pixel control, which has none, first."""
    sized = sorted(set(specs) - {""}, key=parse)
    return [""] * ("" in set(specs)) + sized


def axes(specs: Sequence[str]) -> pd.DataFrame:
    """The shape of each spec: `family`, `width`, `depth` (text), `depth_1`, `depth_2` (first and last), `alias`."""
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
    return pd.DataFrame(rows, index=pd.Index(specs, name="spec"))


def _series(long: pd.DataFrame) -> pd.Series:
    """A readable name per series; the checkpoint is named only where there are several."""
    pretrained = long.initialisation == "pretrained"
    name = long.checkpoint.where(pretrained).map(lambda path: Path(path).stem, na_action="ignore")
    name = name + long.checkpoint_sha256.map(lambda sha: f" ({sha[:8]})", na_action="ignore")
    fresh = long.stale == ""
    if "facts.series" in long:  # several checkpoints that belong together, such as networks each trained alone
        name = long["facts.series"].where(pretrained).fillna(name)
    elif name[fresh].nunique() == 1:
        name = name.where(name.isna() | ~fresh, "pre-trained")
    return name.fillna(long.initialisation.map({"random": RANDOM, "pixels": PIXELS}))


def column_names(long: pd.DataFrame) -> pd.Series:
    """The shortest name that tells columns apart: task, metric, then data set, protocol, number type, device.

    Args:
        long: `task`, `metric` and `stale`, and what there is of `dataset`, `protocol` and the facts; one row per value.
    """
    fresh = long[long.stale == ""]
    label = long.task + " " + long.metric
    for extra in ("dataset", "protocol", "facts.dtype", "facts.device"):
        if extra not in long:
            continue
        variants = fresh.groupby("task")[extra].nunique()
        differs = long.task.map(variants).fillna(1) > 1
        if extra == "facts.device":  # scores do not depend on it
            differs &= long.task == PROFILE
        label = label.where(~differs, label + " · " + long[extra].fillna("not said").astype(str))
    return label


def _describe_columns(fresh: pd.DataFrame) -> pd.DataFrame:
    """One row per column: task, dataset, protocol, metric, unit, primary; primaries first, then in the order of tasks.

    Within a task, the protocols that are measured by default come first; the order never depends on that of files.
    """
    described = fresh.drop_duplicates("column").set_index("column")
    described = described[["task", "dataset", "split", "protocol", "metric", "unit", "primary"]].copy()
    tasks = {"knn": 0, "linear": 1, "classification": 2, "detection": 3, "segmentation": 4, PROFILE: 9}
    defaults = [protocol.name for protocols in DEFAULTS.values() for protocol in protocols]
    place = {name: position for position, name in enumerate(defaults)}
    described["order"] = described.task.map(tasks).fillna(5)
    described["default"] = described.protocol.map(place).fillna(len(place))
    keys = ["primary", "order", "task", "dataset", "default", "protocol"]
    described = described.sort_values(keys, ascending=[False, *[True] * 5], kind="stable")
    return described.drop(columns=["order", "default"])


def _cells(fresh: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds; a cell that lacks a seed its series has elsewhere in the column has no mean."""
    keys = ["series", "spec", "column"]
    latest = fresh.sort_values("created").drop_duplicates([*keys, "seed"], keep="last")
    groups = latest.groupby(keys, sort=False).value
    cells = groups.agg(["mean", "std", "min", "max", "count"]).rename(columns={"count": "seeds"}).reset_index()
    seeds = latest.groupby(["series", "column"]).seed.nunique().rename("expected")
    cells = cells.join(seeds, on=["series", "column"])
    cells["initialisation"] = cells.series.map(latest.drop_duplicates("series").set_index("series").initialisation)
    incomplete = cells.seeds < cells.expected
    cells.loc[incomplete, ["mean", "std", "min", "max"]] = float("nan")
    return cells


def _costs(fresh: pd.DataFrame, cells: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    """Parameters, MACs and the profile's metrics per (series, spec); a profile measured once serves every series."""
    sized = fresh[fresh.spec != ""]
    costs = sized.groupby(["series", "spec"])[["parameters", "macs"]].first().astype("Float64").astype(float)
    by_spec = sized.groupby("spec")[["parameters", "macs"]].first().astype("Float64").astype(float)
    costs = costs.fillna(by_spec.reindex(costs.index, level="spec"))
    costs["weights"] = 4 * costs.parameters  # what an extracted file holds: float32
    # throughput is latency again, and the only metric of a profile where more is better
    wanted = (columns.task == PROFILE) & columns.unit.isin(["ms", "MB"])
    for name in columns.index[wanted]:
        rows = cells[cells.column == name]
        metric = name.removeprefix(f"{PROFILE} ")
        if metric in costs:  # the profile repeats what every result carries
            continue
        own = rows.set_index(["series", "spec"])["mean"]
        shared = rows.groupby("spec")["mean"].first().reindex(costs.index.get_level_values("spec"))
        costs[metric] = own.reindex(costs.index).fillna(pd.Series(shared.to_numpy(), index=costs.index))
    return costs


def _pretrained_series(fresh: pd.DataFrame) -> list[str]:
    pretrained = fresh[fresh.initialisation == "pretrained"]
    sizes = pretrained.groupby("series").spec.nunique()
    return sorted(sizes.index, key=lambda name: (-sizes[name], name))
