"""Writes what `mim search poa_bench` reads: model-index.yml, and a metafile per family of the pre-training configs.

The numbers are those of the configs and of the reports that are kept.

usage: python tools/update_metafiles.py
"""

from pathlib import Path
from typing import Any

import torch

from poa_bench.config_files import read_config
from poa_bench.elastic import SubnetSpec, Supernet
from poa_bench.elastic.macs import count_macs, count_parameters
from poa_bench.report.cards import collection, metafile_results, yaml_text
from poa_bench.report.frame import ReportData, kept_report

ROOT = Path(__file__).resolve().parents[1]
# reports that are kept of a config's pre-training, and the pictures that the configs are for
REPORTS = {"poa_vit-digits": "demo", "poa_vit_cifar10": "cifar10", "poa_vit_cifar10-gpu": "cifar10-gpu"}
TRAINING_DATA = {
    "digits": "digits",
    "cifar10": "CIFAR-10",
    "caltech101": "Caltech-101",
    "photos": "parts of Caltech-101, Oxford-IIIT Pets and COCO",
    "imagenet": "ImageNet-1k",
}


def metafiles(root: Path = ROOT) -> dict[str, str]:
    """The text of each file, by its path in the repository."""
    reports = {stem: kept_report(root / "reports" / name) for stem, name in REPORTS.items()}
    texts = {}
    families: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((root / "pretrain").glob("*.py")):
        models = models_of(path, reports.get(path.stem))
        families.setdefault(models[0]["In Collection"].removeprefix("POA-"), []).extend(models)
    for family, models in families.items():
        collections = [{**collection(family), "README": "pretrain/README.md"}]
        texts[f"pretrain/metafiles/{family}/metafile.yml"] = yaml_text({"Collections": collections, "Models": models})
    return texts | {"model-index.yml": yaml_text({"Import": [*texts]})}


def models_of(path: Path, report: ReportData | None) -> list[dict[str, Any]]:
    """The supernet of a pre-training config under the config's name, then each smaller size that a report has."""
    config = read_config(path)
    backbone = {name: value for name, value in config.model.backbone.to_dict().items() if name != "type"}
    with torch.device("meta"):
        supernet = Supernet(**backbone)
    series = report.pretrained[0] if report else ""  # the one with the most sizes: the supernet
    measured = set(report.wide().loc[series].dropna(how="all").index) if report else set()
    intact = supernet.space.intact
    specs = {intact: path.stem}
    specs |= {spec: f"{path.stem}_{spec}" for spec in supernet.space if str(spec) in measured - {str(intact)}}
    return [
        {
            "Name": name,
            "In Collection": f"POA-{spec.family}",
            "Metadata": metadata(supernet, spec, path.stem),
            "Results": metafile_results(report, series, str(spec)) if str(spec) in measured else None,
            "Config": path.relative_to(ROOT).as_posix(),
        }
        for spec, name in specs.items()
    ]


def metadata(supernet: Supernet, spec: SubnetSpec, stem: str) -> dict[str, Any]:
    """What a size costs at the images of its pre-training; `FLOPs` are multiply-accumulates, as OpenMMLab has them."""
    network = supernet.skeleton(spec)
    found = {"Parameters": count_parameters(network), "FLOPs": count_macs(network, supernet.image_size or 224)}
    data = [name for part, name in TRAINING_DATA.items() if part in stem]
    return {"Size": str(spec), **found, **({"Training Data": data} if data else {})}


if __name__ == "__main__":
    for name, text in metafiles().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
