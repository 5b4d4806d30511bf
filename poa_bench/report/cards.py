"""Model cards and OpenMMLab metafiles, made from results alone."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any

import pandas as pd
import yaml
from huggingface_hub import EvalResult, ModelCardData

from poa_bench.elastic.branch import DEFAULT_BRANCH
from poa_bench.outside.name import PREFIX, is_outside
from poa_bench.report import tables
from poa_bench.report.analysis import standings
from poa_bench.report.frame import ReportData, axes, sort_specs
from poa_bench.report.intervals import interval_text
from poa_bench.report.origin import origins
from poa_bench.report.verdict import standing_text
from poa_bench.runs.provenance import canonical_hash
from poa_bench.tasks import protocol_sentence

LICENCE = "apache-2.0"  # of ours
_SAID = ("timm", "licence", "training_data", "origin")  # facts of networks from outside
PAPER = {
    "Title": "POA: Pre-training Once for Models of All Sizes",
    "URL": "https://arxiv.org/abs/2408.01031",
}


@lru_cache(maxsize=16)
def model_names(data: ReportData) -> dict[tuple[str, str], str]:
    """`poa_vit-w64-d4` by series and spec, with the checkpoint's hash and branch where there are several networks.

    Where that is not enough, because one checkpoint stands in two series, the series is said too.
    """
    rows = origins(data).loc[_networks(data)]
    several = len(data.pretrained) > 1
    names = {
        key: (f"outside_{key[1].removeprefix(PREFIX)}" if is_outside(key[1]) else f"poa_{key[1]}")
        + f"_{row.checkpoint_sha256[:8]}" * several
        + f"_{row.branch}" * (row.branch not in ("", DEFAULT_BRANCH))
        for key, row in zip(rows.index, rows.itertuples(), strict=True)
    }
    twice = {name for name, count in Counter(names.values()).items() if count > 1}
    return {key: f"{name}_{_slug(key[0])}" if name in twice else name for key, name in names.items()}


def _slug(text: str) -> str:
    """A text as part of a file name, another one for every text."""
    plain = re.sub(r"[^a-zA-Z0-9-]+", "-", text).strip("-").lower()
    return plain if plain == text else f"{plain}-{canonical_hash(text)[:4]}"


def metafile(data: ReportData) -> dict[str, Any]:
    """`Collections` and `Models` as OpenMMLab's metafiles have them; networks from outside are in those of others.

    A metric's name says its protocol, since mim has one column for each name and data set, over all models. `FLOPs` are
    multiply-accumulates, as OpenMMLab's tools count and its model zoos say them.
    """
    ours = [(series, spec) for series, spec in _networks(data) if not is_outside(spec)]
    families = sorted({spec.split("-")[0] for _, spec in ours})
    models = [_model(data, series, spec) for series, spec in ours]
    return {"Collections": [collection(family) for family in families], "Models": models}


def collection(family: str) -> dict[str, Any]:
    """A family's entry in the `Collections` of a metafile."""
    return {"Name": f"POA-{family}", "Metadata": {"Architecture": [family]}, "Paper": PAPER}


def _networks(data: ReportData) -> list[tuple[str, str]]:
    wide = data.wide().dropna(how="all")
    scored = set(wide.index.get_level_values("series"))
    return [
        (series, spec) for series in data.pretrained if series in scored for spec in sort_specs(wide.xs(series).index)
    ]


def _model(data: ReportData, series: str, spec: str) -> dict[str, Any]:
    cost = data.costs.loc[(series, spec)]
    metadata = {"Parameters": int(cost.parameters)} if pd.notna(cost.parameters) else {}
    if pd.notna(macs := cost.get("macs")):  # absent where networks were measured at several image sizes
        metadata |= {"FLOPs": int(macs)}
    metadata |= {"Weights from": origins(data).origin[series, spec]}
    return {
        "Name": model_names(data)[series, spec],
        "In Collection": f"POA-{spec.split('-')[0]}",
        "Metadata": metadata,
        "Results": metafile_results(data, series, spec),
    }


def metafile_results(data: ReportData, series: str, spec: str) -> list[dict[str, Any]]:
    """`Results` of a network: one for each task, data set and protocol, with all its metrics."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for column, value, name in _measured(data, series, spec):
        name = name if column.protocol in name else f"{name} · {column.protocol}"
        found.setdefault((column.task, column.dataset, column.protocol), {})[name] = round(value, 4)
    return [{"Task": task, "Dataset": dataset, "Metrics": metrics} for (task, dataset, _), metrics in found.items()]


def _measured(data: ReportData, series: str, spec: str) -> list[tuple[Any, float, str]]:
    """Column, value and a name: task and metric, or the column's own where others are of the same data set."""
    values = data.wide().loc[(series, spec)].dropna()
    described = {column.Index: column for column in data.columns.loc[values.index].itertuples()}
    short = Counter((column.task, column.metric, column.dataset) for column in described.values())
    return [
        (column, float(value), name if short[column.task, column.metric, column.dataset] > 1 else _short(column))
        for name, value in values.items()
        for column in [described[name]]
    ]


def _short(column: Any) -> str:
    return f"{column.task} {column.metric}"


def metafile_texts(data: ReportData) -> dict[str, str]:
    """`metafile.yml`, and `model-index.yml` which imports it."""
    return {
        "metafile.yml": yaml_text(metafile(data)),
        "model-index.yml": yaml_text({"Import": ["metafile.yml"]}),
    }


def yaml_text(values: dict[str, Any]) -> str:
    """YAML in the order of the values."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def card_contexts(data: ReportData) -> dict[str, dict[str, Any]]:
    """What `card.md` prints for each pre-trained network, by model name."""
    return {name: _card(data, *key, name) for key, name in model_names(data).items()}


def _card(data: ReportData, series: str, spec: str, name: str) -> dict[str, Any]:
    origin = origins(data).loc[(series, spec)]
    measured = _measured(data, series, spec)
    runs = data.long[(data.long.series == series) & (data.long.spec == spec) & (data.long.stale == "")]
    cost = data.costs.loc[(series, spec)].dropna()
    outside = is_outside(spec)
    said = {fact: _said(runs, f"facts.{fact}") for fact in _SAID}
    return {
        "name": name,
        "spec": spec,
        "alias": "".join(axes([spec]).alias),
        "front_matter": _front_matter(name, measured, said["licence"] if outside else LICENCE, not outside),
        "outside": outside,
        "said": said,
        "costs": [
            (tables.cost_title(key), tables.number(value / tables.cost_scale(key))) for key, value in cost.items()
        ],
        "scores": [
            (
                column.Index,
                _with_interval(data, series, spec, column.Index, value),
                _worth(data, series, spec, column.Index),
                protocol_sentence(column.task, column.protocol),
                column,
            )
            for column, value, _ in measured
        ],
        "sha256": origin.checkpoint_sha256,
        "origin": origin.origin,
        "code": ", ".join(sorted(set(runs.git_sha))),
        "image_size": runs.image_size.dropna().iloc[0] if runs.image_size.notna().any() else None,
        "command": origin.export,
    }


def _with_interval(data: ReportData, series: str, spec: str, column: str, value: float) -> str:
    ends = (data.wide(end).loc[(series, spec), column] for end in ("low", "high"))
    return f"{value:.4g} {interval_text(*ends, tables.decimals_of(data, column))}".rstrip()


def _said(runs: pd.DataFrame, fact: str) -> str | None:
    known = runs[fact].dropna() if fact in runs else ()
    return known.iloc[-1] if len(known) else None


def _worth(data: ReportData, series: str, spec: str, column: str) -> str:
    found = standings(data, series, column).get(spec)
    return standing_text(found, tables.decimals_of(data, column)) if found else tables.DASH


def _front_matter(model: str, measured: list[tuple[Any, float, str]], licence: str | None, ours: bool) -> str:
    """The YAML head that model hubs read."""
    results = [
        EvalResult(
            task_type=column.task,
            dataset_type=column.dataset,
            dataset_name=column.dataset,
            dataset_split=column.split,
            metric_type=column.metric,
            metric_name=f"{name} ({column.protocol})",
            metric_value=round(value, 4),
        )
        for column, value, name in measured
    ]
    return ModelCardData(
        license=licence,
        library_name="timm",
        tags=["poa", "self-supervised"] if ours else None,
        model_name=model,
        eval_results=results,
    ).to_yaml()
