"""Model cards and OpenMMLab metafiles, made from results alone."""

from __future__ import annotations

from typing import Any

import pandas as pd
import yaml
from huggingface_hub import EvalResult, ModelCardData

from poa_bench.report import tables
from poa_bench.report.analysis import gains
from poa_bench.report.frame import ReportData, axes, sort_specs
from poa_bench.report.pick import checkpoints, export_command
from poa_bench.report.sentences import protocol_sentence

PAPER = {
    "Title": "POA: Pre-training Once for Models of All Sizes",
    "URL": "https://arxiv.org/abs/2408.01031",
}


def model_name(data: ReportData, series: str, spec: str) -> str:
    """`poa_vit-w64-d4`, with the checkpoint's hash where several pre-trained networks have sizes of the same name."""
    if len(data.pretrained) == 1:
        return f"poa_{spec}"
    chosen = data.long[(data.long.series == series) & (data.long.spec == spec) & (data.long.stale == "")]
    return f"poa_{spec}_{chosen.checkpoint_sha256.iloc[-1][:8]}"


def metafile(data: ReportData) -> dict[str, Any]:
    """`Collections` and `Models` as OpenMMLab's metafiles have them; metrics carry their task, so that none collide."""
    families = sorted({spec.split("-")[0] for spec in data.costs.index.get_level_values("spec")})
    collections = [
        {"Name": f"POA-{family}", "Metadata": {"Architecture": [family]}, "Paper": PAPER} for family in families
    ]
    return {"Collections": collections, "Models": [_model(data, series, spec) for series, spec in _networks(data)]}


def _networks(data: ReportData) -> list[tuple[str, str]]:
    wide = data.wide()
    return [(series, spec) for series in data.pretrained for spec in sort_specs(wide.xs(series).index)]


def _model(data: ReportData, series: str, spec: str) -> dict[str, Any]:
    cost = data.costs.loc[(series, spec)]
    metadata = {"Parameters": int(cost.parameters)} if pd.notna(cost.parameters) else {}
    metadata |= {"FLOPs": int(2 * cost.macs), "MACs": int(cost.macs)} if pd.notna(cost.macs) else {}
    results = [
        {
            "Task": column.task,
            "Dataset": column.dataset,
            "Metrics": {f"{column.task} {column.metric}": round(value, 4), "protocol": column.protocol},
        }
        for column, value in _measured(data, series, spec)
    ]
    return {
        "Name": model_name(data, series, spec),
        "In Collection": f"POA-{spec.split('-')[0]}",
        "Metadata": metadata,
        "Results": results,
    }


def _measured(data: ReportData, series: str, spec: str) -> list[tuple[Any, float]]:
    values = data.wide().loc[(series, spec)].dropna()
    described = {column.Index: column for column in data.columns.itertuples()}
    return [(described[name], float(value)) for name, value in values.items()]


def metafile_texts(data: ReportData) -> dict[str, str]:
    """`metafile.yml`, and `model-index.yml` which imports it."""
    options = {"sort_keys": False, "allow_unicode": True, "width": 120}
    return {
        "metafile.yml": yaml.safe_dump(metafile(data), **options),
        "model-index.yml": yaml.safe_dump({"Import": ["metafile.yml"]}, **options),
    }


def card_contexts(data: ReportData) -> dict[str, dict[str, Any]]:
    """What `card.md` prints for each pre-trained network, by model name."""
    cut_from = checkpoints(data)
    return {
        model_name(data, series, spec): _card(data, series, spec, cut_from[(series, spec)])
        for series, spec in _networks(data)
    }


def _card(data: ReportData, series: str, spec: str, checkpoint: str) -> dict[str, Any]:
    name = model_name(data, series, spec)
    measured = _measured(data, series, spec)
    runs = data.long[(data.long.series == series) & (data.long.spec == spec) & (data.long.stale == "")]
    cost = data.costs.loc[(series, spec)].dropna()
    return {
        "name": name,
        "spec": spec,
        "alias": axes([spec]).alias.iloc[0],
        "front_matter": _front_matter(name, measured),
        "costs": [
            (tables.cost_title(key), tables.number(value / tables.cost_scale(key))) for key, value in cost.items()
        ],
        "scores": [
            (column.Index, value, _gain(data, series, spec, column.Index), protocol_sentence(column.protocol), column)
            for column, value in measured
        ],
        "sha256": ", ".join(sorted(set(runs.checkpoint_sha256))),
        "code": ", ".join(sorted(set(runs.git_sha))),
        "image_size": runs.image_size.dropna().iloc[0] if runs.image_size.notna().any() else None,
        "command": export_command(checkpoint, spec),
    }


def _gain(data: ReportData, series: str, spec: str, column: str) -> str:
    gain = gains(data, series, column).gain.get(spec, float("nan"))
    return tables.DASH if pd.isna(gain) else f"{gain:+.2f}"


def _front_matter(name: str, measured: list[tuple[Any, float]]) -> str:
    """The YAML head that model hubs read."""
    results = [
        EvalResult(
            task_type=column.task,
            dataset_type=column.dataset,
            dataset_name=column.dataset,
            dataset_split=column.split,
            metric_type=column.metric,
            metric_name=f"{column.task} {column.metric} ({column.protocol})",
            metric_value=round(value, 4),
        )
        for column, value in measured
    ]
    return ModelCardData(
        license="apache-2.0",
        library_name="timm",
        tags=["poa", "self-supervised"],
        model_name=name,
        eval_results=results,
    ).to_yaml()
