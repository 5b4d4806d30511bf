"""Names of series and columns, such that results which differ in what defines a run never share a cell unsaid.

What belongs to the network (checkpoint, branch, architecture) is said by the series, what belongs to the measurement
(data set, protocol, number type, settings) by the column. Seeds are in neither: they are repeats within a cell.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.outside.name import is_outside
from poa_bench.tasks import find_task

PIXELS = "raw pixels"
RANDOM = "random initialisation"
_NETWORK = ("config.branch", "config.architecture")
_INPUTS = ("config.image_size", "config.resize", "config.mean", "config.std", "config.interpolation")


def with_known_facts(long: pd.DataFrame) -> pd.DataFrame:
    """The table of `read_results` with what some results lack and others say of the same file or the same settings.

    `pretraining_seed` and `config.architecture` are facts of a checkpoint's content, the rest of `config.*` one of a
    config's hash; results of earlier versions say none of them. Where all results of a checkpoint that name a series
    name the same, the others are of that series too.
    """
    long = long.copy()
    for name in {"pretraining_seed", "facts.series"} & set(long):
        long[name] = _filled(long, name, ["checkpoint_sha256"])
    for name in [name for name in long if name.startswith("config.")]:
        keys = ["task", "config_hash"]
        if name == "config.architecture":
            keys = ["checkpoint_sha256"]
        long[name] = _filled(long, name, keys)
    return long


def _filled(long: pd.DataFrame, name: str, keys: list[str]) -> pd.Series:
    known = long.dropna(subset=[name, *keys]).drop_duplicates([name, *keys])
    one = known.groupby(keys)[name].agg(["first", "size"])
    found = long[keys].join(one[one["size"] == 1]["first"], on=keys)["first"]
    return long[name].where(long[name].notna(), found)


def costs(tasks: pd.Series) -> pd.Series:
    """Whether each task measures costs of a network, and no scores."""
    return tasks.map({name: find_task(name).is_cost for name in tasks.unique()}).astype(bool)


def series_names(long: pd.DataFrame) -> pd.Series:
    """A readable name per series; what is the same in the whole table is left out.

    Checkpoints that were given a name share a series. Where several of them have the same size, they are repeats of a
    pre-training if their seeds differ; if not, or if a seed is not known, each is a series of its own.
    """
    pretrained = long.initialisation == "pretrained"
    fresh = long.stale == ""
    name = _checkpoint_names(long[pretrained]).reindex(long.index).astype(object)
    if "facts.series" in long:
        given = long["facts.series"].where(pretrained)
        given = given.where(~given.isin([RANDOM, PIXELS]), given + " (pre-trained)")
        name = given.fillna(name)
    elif long[pretrained & fresh].checkpoint_sha256.nunique() == 1:
        name = name.where(name.isna() | ~fresh, "pre-trained")
    branch = _text(long, "config.branch").where(pretrained & ~long.spec.map(is_outside))
    if (branch[fresh].dropna() != DEFAULT_BRANCH).any():
        name = name.where(branch.isna(), name + ", " + branch)
    name = _split_by_checkpoint(long, name, fresh)
    return name.fillna(_control_names(long, fresh))


def _checkpoint_names(pretrained: pd.DataFrame) -> pd.Series:
    """The newest file name of each content, with the begin of its hash."""
    newest = pretrained.sort_values("created").groupby("checkpoint_sha256").checkpoint.last()
    names = {sha: f"{Path(path).stem} ({sha[:8]})" for sha, path in newest.items()}
    return pretrained.checkpoint_sha256.map(names)


def _split_by_checkpoint(long: pd.DataFrame, name: pd.Series, fresh: pd.Series) -> pd.Series:
    """Series in which some size has several checkpoints that are no repeats: one series for each checkpoint."""
    rows = long[fresh & name.notna()].assign(series=name)
    rows = rows.drop_duplicates(["series", "spec", "checkpoint_sha256", "pretraining_seed"])
    sizes = rows.groupby(["series", "spec"]).agg(
        files=("checkpoint_sha256", "nunique"), seeds=("pretraining_seed", "nunique")
    )
    torn = sizes.index[(sizes.files > 1) & (sizes.seeds < sizes.files)].get_level_values("series").unique()
    return name.where(~name.isin(torn), name + " (" + long.checkpoint_sha256.str[:8] + ")")


def _control_names(long: pd.DataFrame, fresh: pd.Series) -> pd.Series:
    """Controls; where random networks of a size have several architectures, they are told apart by their hash."""
    names = long.initialisation.map({"random": RANDOM, "pixels": PIXELS})
    random = long.initialisation == "random"
    if "config.architecture" not in long or not random.any():
        return names
    architecture = _text(long, "config.architecture").fillna("not said")
    kinds = architecture[random & fresh].groupby(long.spec[random & fresh]).nunique()
    several = random & (kinds.max() > 1)
    return names.where(~several, names + " (architecture " + architecture + ")")


def variants(long: pd.DataFrame) -> pd.Series:
    """What tells the columns of a task apart: data set, protocol, number type, device; only those that differ.

    Args:
        long: `task` and `stale`, and what there is of `dataset`, `protocol` and the facts; one row per value.
    """
    fresh = long[long.stale == ""]
    label = pd.Series("", index=long.index)
    for extra in ("dataset", "protocol", "facts.dtype", "facts.device"):
        if extra not in long:
            continue
        kinds = fresh.groupby("task")[extra].nunique()
        differs = long.task.map(kinds).fillna(1) > 1
        if extra == "facts.device":  # scores do not depend on it
            differs &= costs(long.task)
        label = label.where(~differs, label + " · " + long[extra].fillna("not said").astype(str))
    return label


def settings_labels(long: pd.DataFrame) -> pd.Series:
    """What tells apart the settings within a variant: the values that differ, or a hash where they are not said.

    How pictures become inputs is by default as the network was trained: only where it differs for the same size of the
    same series is it the measurement's.

    Args:
        long: as `variants`, with `series`, `config_hash` and `config.*`.
    """
    leaves = [name for name in long if name.startswith("config.")]
    added = pd.Series("", index=long.index)
    fresh = long[long.stale == ""]
    for _, rows in fresh.groupby(["task", "dataset", "protocol", variants(long)[fresh.index]], sort=False):
        if rows.config_hash.nunique() > 1:
            added.loc[rows.index] = _within_group(rows, leaves)
    return added


def _within_group(rows: pd.DataFrame, leaves: list[str]) -> pd.Series:
    said = rows[leaves].notna().any(axis=1)
    known, added = rows[said], pd.Series("", index=rows.index)
    values = {name: _text(known, name).fillna("none") for name in leaves}
    for name in (leaf for leaf in leaves if leaf not in _NETWORK):
        same = [added[said], known.series, known.spec] if name in _INPUTS else [added[said]]
        varies = (values[name].groupby(same).transform("nunique") > 1).groupby(added[said]).transform("any")
        text = " · " + name.removeprefix("config.") + " " + values[name]
        added.loc[known.index] = added[said].where(~varies, added[said] + text)
    random = rows.initialisation == "random"  # these have the architecture in their hash
    unknown = ~said & (rows.config_hash.groupby([random, rows.family.where(random, "").fillna("")]).transform(_several))
    unexplained = known.config_hash.groupby([random[said], *values.values()]).transform(_several)
    unknown |= unexplained.reindex(rows.index, fill_value=False).astype(bool)
    return added.where(~unknown, added + " · settings " + rows.config_hash.str[:8])


def _several(values: pd.Series) -> bool:
    return values.nunique() > 1


def _text(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as texts, missing where it is missing or there is no such column."""
    if name not in table:
        return pd.Series(None, index=table.index, dtype=object)
    return table[name].map(_plain, na_action="ignore").astype(object)


def _plain(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
