"""The commands that measure what a report lacks, so that the new results are of the same runs as the old ones."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import pandas as pd

from poa_bench import printed
from poa_bench.config_files import evaluation_configs, runnable_configs
from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.elastic.space import SubnetSpec
from poa_bench.outside.name import SERIES, family_of, is_outside
from poa_bench.report.frame import RANDOM, ReportData
from poa_bench.tasks import find_task, todays

ANOTHER = "another"  # in place of a pre-training: one that is not there yet
PLACE_HOLDERS = ("CHECKPOINT", "CONFIG.py")  # for what neither the results nor the project's configs say
_RELATIVE = {"smallest", "middle", "intact"}  # names of sizes that every space has
_AMP = {"bfloat16": "bf16", "float16": "fp16"}


def sources(data: ReportData, missing: pd.DataFrame) -> pd.DataFrame:
    """What a command needs beside the size, for each row of `holes`; rows with the same values share a command.

    Returns:
        `checkpoint`, and `how`: JSON of `now`, the protocol by which the command measures, of the `kind` of weights, of
        number type, data and branch (light tasks) or the sweep's name and task entry, and of the series' name where the
        results were given one.
    """
    known, types, files = _Checkpoints(data), _newest(data, "facts.dtype"), _newest(data, "facts.config")
    kinds = data.long.drop_duplicates("series").set_index("series").initialisation
    found = []
    for row in missing.itertuples():
        if find_task(row.task).is_light:
            source = files.get(row.column) or _data(row.dataset)
            how = {"amp": _AMP.get(types.get(row.column)), "now": todays(row.protocol), "data": source}
            how |= {"branch": known.branch(row.series)}
        else:
            how = _dense_source(row.task, row.protocol, row.spec)
        how |= {"series": known.given_name(row.series), "kind": kinds[row.series]}
        how |= {"outside": known.outside(row.spec)} if is_outside(row.spec) else {}
        found.append((known.of(row), json.dumps(how)))
    return pd.DataFrame(found, columns=["checkpoint", "how"], index=missing.index)


def _newest(data: ReportData, fact: str) -> dict[str, Any]:
    """The newest value of a fact by column, where any is known."""
    if fact not in data.long:
        return {}
    return data.long.sort_values("created").dropna(subset=[fact]).set_index("column")[fact].to_dict()


def command(line: Any, results: str) -> str:
    """The command of one line of `grouped`.

    Args:
        line: `task`, `protocol`, `seed`, `specs`, `checkpoint`, `how`.
        results: the folder that the command writes to.
    """
    how = json.loads(line.how)
    kind, outside = how["kind"], how.get("outside")
    if outside:
        outside["weights"] = line.checkpoint if kind == "pretrained" else None
        how["series"] = how["series"] and how["series"].removeprefix(SERIES)
    if find_task(line.task).is_light:
        chosen = {} if outside or kind == "pixels" else {"specs": ",".join(line.specs)}
        return printed.command(
            "evaluate",
            outside["timm"] if outside else line.checkpoint,
            data=how["data"],
            o=results,
            tasks=line.task,
            protocols=how["now"],
            seeds=str(line.seed),
            initialisation=kind,
            **{name: how[name] for name in ("amp", "branch", "series")},
            **(_of_outside(outside) if outside else chosen),
        )
    task = {"task": line.task, "specs": line.specs, "initialisations": [kind], "seeds": [line.seed], **how["entry"]}
    if outside:
        entry = {name: value for name, value in {**outside, "name": how["series"]}.items() if value}
        values = {"checkpoints": [], "networks": [entry]}
    else:
        values = {"series": how["series"]} if how["series"] else {}
    checkpoint = None if outside else line.checkpoint
    return printed.command("run", how["sweep"], checkpoint=checkpoint, results=results, set={**values, "tasks": [task]})


def _of_outside(said: dict[str, Any]) -> dict[str, Any]:
    """Options of `evaluate` for a network from outside."""
    arguments = json.dumps(said["arguments"]) if "arguments" in said else None
    return {"weights": said.get("weights"), "image_size": said.get("image_size"), "timm_arguments": arguments}


class _Checkpoints:
    """Which checkpoint a missing cell is of; for a control, which one says what its network looks like."""

    def __init__(self, data: ReportData) -> None:
        self.rows = data.long[data.long.stale == ""].sort_values("created", kind="stable")
        known = self.rows[self.rows.checkpoint.notna()]
        keys = (
            ["series", "pretraining", "spec"], ["series", "pretraining"], ["series", "spec"], ["series", "family"],
            ["spec"], ["family"],
        )  # fmt: skip
        self.newest = [known.groupby(key).checkpoint.last().to_dict() for key in keys]
        self.last = known.checkpoint.iloc[-1] if len(known) else PLACE_HOLDERS[0]

    def of(self, row: Any) -> str:
        """The pre-training's own, or else that of the series, of the size, of the family."""
        if row.pretraining == ANOTHER:
            return PLACE_HOLDERS[0]
        family, drawn = family_of(row.spec), self._of_architecture(row.series)
        wanted = [(row.series, row.pretraining, row.spec), (row.series, row.pretraining)]
        wanted += [(row.series, row.spec), (row.series, family), row.spec, family]
        found = (names[key] for names, key in zip(self.newest, wanted, strict=True) if key in names)
        return drawn or next(found, self.last)

    def _of_architecture(self, series: str) -> str | None:
        """For random networks that are told apart by their architecture: the newest checkpoint of the same one."""
        if not series.startswith(f"{RANDOM} (architecture "):
            return None
        own = self.rows[self.rows.series == series]["config.architecture"].dropna()
        same = self.rows[self.rows["config.architecture"].isin(own) & self.rows.checkpoint.notna()]
        return same.checkpoint.iloc[-1] if len(same) else None

    def branch(self, series: str) -> str | None:
        """Where it is not the teacher, which commands take without a word."""
        if "config.branch" not in self.rows:
            return None
        rows = self.rows[(self.rows.series == series) & (self.rows.initialisation == "pretrained")]
        return next((branch for branch in rows["config.branch"].dropna() if branch != DEFAULT_BRANCH), None)

    def outside(self, spec: str) -> dict[str, Any]:
        """What a sweep's entry of a network from outside says beside weights and name."""
        rows = self.rows[self.rows.spec == spec]
        facts = {name: f"facts.timm_{name}" for name in ("image_size", "arguments")}
        said = {name: rows[fact].dropna() for name, fact in facts.items() if fact in rows}
        found = {name: json.loads(str(values.iloc[-1])) for name, values in said.items() if len(values)}
        return {"timm": spec, **found}

    def given_name(self, series: str) -> str | None:
        """The name that the results of a series were given, if any; the report may have added to it."""
        if "facts.series" not in self.rows:
            return None
        names = self.rows["facts.series"][self.rows.series == series].dropna()
        return names.iloc[-1] if len(names) else None


def _data(dataset: str) -> str:
    """What `poa-bench evaluate --data` takes: a data set's name, where an evaluation config comes with the project."""
    return dataset if dataset in evaluation_configs() else PLACE_HOLDERS[1]


@lru_cache(maxsize=4096)
def _dense_source(task: str, protocol: str, spec: str) -> dict[str, Any]:
    """The `sweep`, the `entry` of its tasks that measures a size by a protocol, and the protocol as it is `now`.

    The project's configs have one version of each protocol: the one that can be measured. Where no sweep of the
    project has the size, the config that says the protocol is taken as it is.
    """
    for sweep, entry in _sweep_entries():
        now = _protocol(entry["settings"])
        if entry["task"] == task and _same_name(now, protocol) and _serves(entry, spec):
            kept = {name: entry[name] for name in ("gpus", "settings") if name in entry}
            return {"sweep": sweep, "entry": kept, "now": now}
    names = [name for name in runnable_configs() if _same_name(_protocol({"config": name}), protocol)]
    of_family = [name for name in names if f"_{family_of(spec)}-" in name]
    config = {"config": (of_family or names or PLACE_HOLDERS[1:])[0]}
    return {"sweep": "sweep_digits", "entry": {"settings": config}, "now": _protocol(config) or protocol}


def _same_name(first: str | None, second: str) -> bool:
    return first is not None and first.rsplit("/", 1)[0] == second.rsplit("/", 1)[0]


@lru_cache(maxsize=1)
def _sweep_entries() -> list[tuple[str, dict[str, Any]]]:
    """(sweep, entry) of every dense task in the project's sweeps."""
    from mmengine.config import Config

    paths = [path for path in runnable_configs().values() if path.parent.name == "sweeps"]
    entries = [(path.stem, entry) for path in paths for entry in Config.fromfile(path).to_dict()["tasks"]]
    return [(sweep, entry) for sweep, entry in entries if "config" in entry.get("settings", {})]


@lru_cache(maxsize=256)
def _protocol_in(config: str) -> str | None:
    """The protocol that the text of a config or of its base names; reading it whole would need mmdet or mmseg."""
    path = runnable_configs().get(config)
    while path:
        text = path.read_text(encoding="utf-8")
        if said := re.search(r"""protocol=["']([^"']+)["']""", text):
            return said[1]
        base = re.search(r"""^_base_ = ["']([^"':]+)["']""", text, re.MULTILINE)
        path = path.parent / base[1] if base else None
    return None


def _protocol(settings: dict[str, Any]) -> str | None:
    return settings.get("cfg_options", {}).get("measurement.protocol") or _protocol_in(settings["config"])


def _serves(entry: dict[str, Any], spec: str) -> bool:
    """Whether an entry's settings are meant for a size: those for named sizes are for no other."""
    if is_outside(spec):
        return isinstance(entry.get("specs", "all"), str) or not _RELATIVE.isdisjoint(entry["specs"])
    parsed = SubnetSpec.parse(spec)
    if entry.get("families") and parsed.family not in entry["families"]:
        return False
    specs = entry.get("specs", "all")
    return isinstance(specs, str) or not _RELATIVE.isdisjoint(specs) or bool({spec, parsed.alias} & set(specs))
