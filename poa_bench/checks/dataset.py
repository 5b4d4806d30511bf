"""Builds a data set of a config and checks, complete, what needs no look at its pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from poa_bench.checks import detection as check_detection
from poa_bench.checks import labels as check_labels
from poa_bench.checks.endings import check_endings
from poa_bench.checks.result import FILES, Checked, reason
from poa_bench.checks.truth import quiet
from poa_bench.datasets.selection import described


def find(value: Any, key: str) -> Iterator[Any]:
    """Every value of ``key`` in nested dicts and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, one in inside:
        if name == key:
            yield one
        yield from find(one, key)


def build_dataset(row: Checked, options: dict, config: Config, split: str) -> list[int]:
    """Build ``row.dataset`` and check its files, annotations and labels, all of them.

    Args:
        row: where findings go.
        options: the data set's config.
        config: the whole config, of which model and evaluator say what the annotations must have.
        split: 'train', 'val' or 'test'.

    Returns:
        Positions of pictures that show each class, as far as that is known without a look at them.
    """
    check_paths(row, options)
    try:
        with DATASETS.switch_scope_and_registry(None) as registry:  # of the config's default scope
            kind = registry.get(options["type"])
    except ImportError as error:
        row.fail(FILES, f"its type {options['type']} cannot be imported ({error})", "install what it needs")
        return []
    is_coco = any(base.__name__ == "CocoDataset" for base in getattr(kind, "__mro__", ()))
    is_coco = is_coco and not is_unmeasured(config, split)
    named = is_coco and options.get("ann_file") and Path(options.get("data_root") or "") / options["ann_file"]
    coco = check_detection.read_annotations(row, named) if named and not row.problems else None
    if row.problems:
        return []
    try:
        with quiet():
            row.dataset = dataset = DATASETS.build({**options, **_unserialized(kind)})
        row.pictures, row.classes = len(dataset), len(dataset.metainfo.get("classes") or ())
    except Exception as error:  # data sets raise of many kinds, and all of them are the answer here
        row.fail(FILES, f"cannot be read ({reason(error)})", "correct the file or the config's entry")
        return []
    check_endings(row, dataset)
    if row.pictures == 0 and not row.problems:
        row.fail(FILES, "has no pictures", "check data_prefix, the file endings and filter_cfg")
    if row.pictures == 0:
        return []
    row.labels = tuple(map(str, dataset.metainfo.get("classes") or ()))
    if left_out := getattr(getattr(dataset, "source", None), "left_out", None):
        row.notes.append(f"left out: {described(left_out)}")
    if is_coco:
        coco = coco or check_detection.read_annotations(row, dataset.ann_file)
        check_detection.check_annotations(row, dataset, coco, _masks_for(config, options, split))
    return _check_complete(row, dataset)


def _unserialized(kind: type | None) -> dict[str, bool]:
    # nothing is shared with other processes here, and the entries are looked at without being unpacked each time
    return {"serialize_data": False} if isinstance(kind, type) and issubclass(kind, BaseDataset) else {}


def _check_complete(row: Checked, dataset: Any) -> list[int]:
    infos = getattr(dataset, "data_list", None)
    if not infos:
        row.notes.append("no data set of mmengine's kind: its pictures are only counted")
        return []
    first = infos[0]
    paths = [info[key] for key in ("img_path", "seg_map_path") if first.get(key) for info in infos]
    check_labels.check_files(row, paths or check_labels.source_paths(getattr(dataset, "source", None), infos))
    if "instances" in first:
        places = {one["bbox_label"]: place for place, info in enumerate(infos) for one in info["instances"]}
        return sorted(set(places.values()))
    label = "label" if "label" in first else "gt_label"
    if label not in first:
        return []
    labels = np.array([info[label] for info in infos])
    check_labels.check_labels(row, labels)
    return check_labels.first_of_each(labels)


def _masks_for(config: Config, options: dict, split: str) -> str | None:
    """What needs instance masks, if anything does."""
    if split != "train":
        metrics = [one for value in find(config.get(f"{split}_evaluator"), "metric") for one in listed(value)]
        return "the metric `segm`" if "segm" in metrics else None
    if any(find(options.get("pipeline", []), "with_mask")):
        return "LoadAnnotations(with_mask=True)"
    return "the mask head" if has_mask_head(config) else None


def listed(value: Any) -> list:
    """A value alone, or several of them, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def is_unmeasured(config: Config, split: str) -> bool:
    """Whether the evaluator only writes predictions down: such a split has no truth."""
    return any(find(config.get(f"{split}_evaluator"), "format_only"))


def has_mask_head(config: Config) -> bool:
    """Whether the model learns instance masks."""
    return any(find(config.get("model"), "mask_head"))


def check_paths(row: Checked, options: dict) -> None:
    """Check the files and folders that the config names."""
    root = Path(options.get("data_root") or "")
    named = {"ann_file": options.get("ann_file"), "path": options.get("path")}
    named |= {f"data_prefix.{key}": value for key, value in (options.get("data_prefix") or {}).items()}
    remedy = (
        f"put the data there, or set {row.where}.{'data_root' if 'data_root' in options else '{key}'} to where it is"
    )
    for key, value in named.items():
        path = root / value if value and key != "path" else value and Path(value)
        if path and not path.expanduser().exists():
            row.fail(FILES, f"{key} {path} does not exist", remedy.format(key=key))


def check_metric_annotations(row: Checked, evaluator: dict | list[dict]) -> None:
    """The annotation files that the evaluator's metrics name have what these read after the training."""
    for metric in listed(evaluator):
        path = metric.get("ann_file")
        coco = check_detection.read_annotations(row, path) if path and Path(path).is_file() else None
        if coco is not None and "metric" in metric:
            check_detection.check_metric_file(row, path, coco)
