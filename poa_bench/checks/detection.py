"""COCO data: the annotation file, complete, and what of it reaches training and the metric."""

import json
from pathlib import Path
from typing import Any

from poa_bench.checks.pictures import Seen
from poa_bench.checks.result import ANNOTATIONS, CLASSES, METRIC, READ, SHOWN, Checked, examples

_LISTS = ("images", "annotations", "categories")
_NEEDED = {  # by mmdet's reader
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area"),
    "categories": ("id", "name"),
}


def read_annotations(row: Checked, path: str | Path) -> dict[str, list[dict]] | None:
    """Read a COCO file; None, and a problem, where it is none or lacks what mmdet reads."""
    try:
        coco = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        row.fail(ANNOTATIONS, f"{path} is no JSON file ({error})", "export the annotations again")
        return None
    absent = [name for name in _LISTS if not isinstance(coco, dict) or not isinstance(coco.get(name), list)]
    if absent:
        row.fail(ANNOTATIONS, f"{path} has no list `{absent[0]}`", f"a COCO file has {', '.join(_LISTS)}")
        return None
    whole = True
    for name, keys in _NEEDED.items():
        for key in keys:
            if lacking := [entry for entry in coco[name] if key not in entry]:
                row.fail(
                    ANNOTATIONS,
                    f"{len(lacking)} of {len(coco[name])} {name} in {path} have no `{key}`, which mmdet needs",
                    "add it",
                )
                whole = False
    return coco if whole else None


def check_annotations(row: Checked, dataset: Any, coco: dict[str, list[dict]], masks_for: str | None) -> None:
    """Check ids, classes, boxes and masks of a whole annotation file.

    Args:
        row: where findings go.
        dataset: mmdet's CocoDataset of the file.
        coco: the file's content.
        masks_for: what needs instance masks, if anything does.
    """
    _check_ids(row, coco)
    _check_classes(row, dataset, coco)
    infos = dataset.data_list
    instances = [instance for info in infos for instance in info["instances"]]
    row.annotations = len(instances)
    if dropped := len(coco["annotations"]) - row.annotations:
        row.notes.append(f"{dropped} annotations not used (empty, outside, of other classes or of filtered pictures)")
    if masks_for is not None:
        _check_masks(row, instances, masks_for)
    beyond = [
        info["img_path"]
        for info in infos
        for x1, y1, x2, y2 in (instance["bbox"] for instance in info["instances"])
        if min(x1, y1) < -1 or x2 > info["width"] + 1 or y2 > info["height"] + 1
    ]
    if beyond:
        row.notes.append(f"{len(beyond)} boxes reach beyond their picture, e.g. in {beyond[0]}")
    row.passed(ANNOTATIONS)


def _check_ids(row: Checked, coco: dict[str, list[dict]]) -> None:
    categories = {category["id"] for category in coco["categories"]}
    if strange := sorted({a["category_id"] for a in coco["annotations"]} - categories, key=str):
        row.fail(
            ANNOTATIONS,
            f"annotations have the category ids [{examples(strange)}], which are not in `categories`",
            "correct the file",
        )
    images = {image["id"] for image in coco["images"]}
    if orphans := [a["id"] for a in coco["annotations"] if a["image_id"] not in images]:
        row.fail(ANNOTATIONS, f"{len(orphans)} annotations belong to no image, e.g. {orphans[0]}", "correct the file")


def _check_classes(row: Checked, dataset: Any, coco: dict[str, list[dict]]) -> None:
    """Every class of the config is in the file, and label numbers mean what the config says."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    classes = dataset.metainfo["classes"]
    labels = {names[category]: label for category, label in dataset.cat2label.items() if category in names}
    unknown = sorted({names.get(one["category_id"]) for one in coco["annotations"]} - {None, *classes})
    absent = [name for name in classes if name not in labels]
    shifted = [name for name in classes if labels.get(name, classes.index(name)) != classes.index(name)]
    row.labels = tuple(sorted(labels, key=labels.get) if shifted else classes)
    if absent and (unknown or shifted or not labels):
        row.fail(
            CLASSES,
            f"{len(absent)} classes of the config are not among the file's categories, e.g. {absent[0]!r}",
            f"set metainfo.classes to names from {sorted(names.values())[:SHOWN]}...",
        )
    elif shifted:
        row.fail(
            CLASSES,
            f"{shifted[0]!r} is label {labels[shifted[0]]}, as numbered in the order of the file's categories, and "
            f"{classes.index(shifted[0])} in metainfo.classes",
            "take poa_bench.NamedCocoDataset and poa_bench.NamedCocoMetric, which follow the names",
        )
    elif absent:
        row.notes.append(f"{len(absent)} classes are not among the file's categories: {examples(absent)}")
    if unknown:
        row.notes.append(f"annotated categories are not in metainfo.classes: {examples(unknown)}")
    row.passed(CLASSES)


def _check_masks(row: Checked, instances: list[dict], masks_for: str) -> None:
    if without := sum("mask" not in instance for instance in instances):
        row.fail(
            ANNOTATIONS,
            f"{without} of {len(instances)} annotations have no mask (`segmentation`), and {masks_for} needs one",
            "add the masks, or take a config for boxes alone",
        )
    polygons = [instance["mask"] for instance in instances if isinstance(instance.get("mask"), list)]
    if short := sum(not any(len(part) >= 6 and len(part) % 2 == 0 for part in polygons) for polygons in polygons):
        row.fail(
            ANNOTATIONS,
            f"{short} masks have no polygon of three or more points: training leaves the objects out",
            "redraw them, or remove the annotations",
        )


def check_picture(row: Checked, info: dict, seen: Seen) -> None:
    """A picture is as large as the file says; its classes count as seen."""
    row.seen |= {one["bbox_label"]: info["img_path"] for one in info["instances"] if one["bbox_label"] not in row.seen}
    if seen.size != (info["width"], info["height"]):
        row.fail_picture(
            READ,
            info["img_path"],
            f"is {seen.size[0]}x{seen.size[1]} as training loads it (turned by its EXIF tag where it has one), "
            f"the file says {info['width']}x{info['height']}",
            "correct either",
        )
    row.passed(READ)


def check_metric_file(row: Checked, path: str | Path, coco: dict[str, list[dict]]) -> None:
    """The annotations that the metric reads have what it asks for only after the training."""
    if lacking := [one for one in coco["annotations"] if "iscrowd" not in one]:
        row.fail(
            METRIC,
            f"{len(lacking)} of {len(coco['annotations'])} annotations in {path} have no `iscrowd`, without which the "
            "metric stops after the training",
            'add `"iscrowd": 0` to each',
        )
