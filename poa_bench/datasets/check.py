"""Looks at a config's data before a training starts: files, counts, one decoded picture per class, label ranges."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

from poa_bench.datasets import check_pictures
from poa_bench.datasets.stores import FolderStore
from poa_bench.errors import InputError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
MOST_MAPS = 500  # semantic maps decoded in search of the classes
IGNORE = 255
_SHOWN = 3  # examples named in a message


@dataclass
class Checked:
    """What was found in one data set."""

    where: str  # its place in the config
    kind: str
    pictures: int = 0
    annotations: int | None = None
    classes: int = 0
    seen: dict[int, str] = field(default_factory=dict)  # class -> the picture decoded for it
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)  # pictures of which a problem says that they cannot be decoded

    def fail(self, problem: str, remedy: str) -> None:
        """Note a problem, in one sentence with what to do."""
        self.problems.append(f"{self.where}: {problem}; {remedy}")

    def fail_picture(self, name: str, problem: str, remedy: str) -> None:
        """Note a picture that cannot be decoded, once."""
        if name not in self.broken:
            self.broken.add(name)
            self.fail(f"{name} {problem}", remedy)


def check_config(config: Config, every_picture: bool = False) -> list[Checked]:
    """Check every data set of a pre-training, detection, segmentation or classification config.

    A data set that appears twice (as validation and test) is checked once.

    Args:
        config: the config.
        every_picture: decode all pictures and label maps, not only one of each class.

    Raises:
        InputError: the config has no data set.
    """
    found, done = [], []
    with DefaultScope.overwrite_default_scope(config.get("default_scope") or "poa_bench"):
        for where, dataset in _datasets(config):
            if dataset not in done:
                done.append(dataset)
                found.append(_check(where, dataset, every_picture))
    if not found:
        raise InputError(f"{config.filename} has none of {', '.join(LOADERS)} with a data set; give a runnable config")
    return found


def _datasets(config: Config) -> Iterator[tuple[str, dict]]:
    """Find the data sets, those inside wrappers (RepeatDataset, ConcatDataset, ...) included."""

    def unwrap(where: str, dataset: Any) -> Iterator[tuple[str, dict]]:
        inner = dataset.get("datasets") or [dataset["dataset"]] if {"dataset", "datasets"} & set(dataset) else None
        if inner is None:
            yield where, dataset
        for one in inner or ():
            yield from unwrap(f"{where}.{'datasets' if 'datasets' in dataset else 'dataset'}", one)

    for loader in LOADERS:
        if config.get(loader) and config[loader].get("dataset"):
            yield from unwrap(f"{loader}.dataset", config[loader].dataset.to_dict())
    for split, dataset in (config.get("evaluation") or {}).items():
        if isinstance(dataset, dict) and "type" in dataset:
            yield f"evaluation.{split}", dataset.to_dict()


def _check(where: str, options: dict, every_picture: bool) -> Checked:
    """Build the data set without its pipeline and look at it."""
    row = Checked(where, options["type"].rpartition(".")[2])
    _check_paths(row, options)
    if row.problems:
        return row
    try:
        dataset = DATASETS.build({**options, "pipeline": [], "serialize_data": False})
    except (InputError, OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        row.fail(f"cannot be read ({type(error).__name__}: {error})", "correct the file or the config's entry")
        return row
    row.pictures, row.classes = len(dataset), len(dataset.metainfo.get("classes") or ())
    if row.pictures == 0:
        row.fail("has no pictures", "check data_prefix, the file endings and filter_cfg")
        return row
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    if "instances" in infos[0]:
        _check_detection(row, infos, Path(dataset.ann_file), dataset.metainfo["classes"])
    elif "seg_map_path" in infos[0]:
        _check_segmentation(row, infos, bool(dataset.reduce_zero_label))
    elif "position" in infos[0]:
        _check_labels(row, infos, dataset.source)
    if every_picture:
        _check_every_picture(row, infos, getattr(dataset, "source", None))
    if absent := row.classes - len(row.seen):
        row.notes.append(f"{absent} of {row.classes} classes not seen")
    return row


def _check_every_picture(row: Checked, infos: list[dict], source: Any) -> None:
    if "position" in infos[0]:
        positions = [info["position"] for info in infos]
        broken = [*check_pictures.broken(lambda i: source.read(positions[i]), [info["name"] for info in infos])]
    else:
        paths = [info.get(key) for info in infos for key in ("img_path", "seg_map_path")]
        broken = check_pictures.broken_files([path for path in paths if path])  # a detection set has no maps
    for name, reason in broken:
        row.fail_picture(name, f"cannot be decoded ({reason})", "replace the file or leave it out")
    row.notes.append("every picture decoded")


def _check_paths(row: Checked, options: dict) -> None:
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
            row.fail(f"{key} {path} does not exist", remedy.format(key=key))


def _open(row: Checked, path: str) -> Image.Image | None:
    """Decode a picture whole; note a problem where that fails."""
    try:
        image = Image.open(path)
        image.load()
        return image
    except OSError as error:
        remedy = "complete the data set" if isinstance(error, FileNotFoundError) else "replace the file"
        row.fail_picture(path, f"cannot be decoded ({error})", remedy)
        return None


def _check_files(row: Checked, paths: list[str | Path]) -> None:
    if missing := [path for path in paths if not Path(path).is_file()]:
        row.fail(f"{len(missing)} of {len(paths)} files are missing, e.g. {missing[0]}", "complete the data set")


def _check_labels(row: Checked, infos: list[dict], source: Any) -> None:
    """Labelled pictures: files, labels in range, one picture of each class decoded."""
    if isinstance(getattr(source, "store", None), FolderStore):
        _check_files(row, [source.store.root / info["name"] for info in infos])
    labels = np.array([info["label"] for info in infos])
    if ((labels < 0) | (labels >= row.classes)).any():
        row.fail(
            f"labels go from {labels.min()} to {labels.max()}, classes from 0 to {row.classes - 1}", "renumber them"
        )
    for label, first in zip(*np.unique(labels, return_index=True), strict=True):
        info = infos[first]
        try:
            source.read(info["position"])
            row.seen[int(label)] = info["name"]
        except (InputError, OSError) as error:
            row.fail_picture(info["name"], f"cannot be read ({error})", "replace the file")


def _check_detection(row: Checked, infos: list[dict], ann_file: Path, classes: tuple[str, ...]) -> None:
    """COCO data: files, category ids, boxes and sizes."""
    _check_files(row, [info["img_path"] for info in infos])
    coco = json.loads(ann_file.read_text())
    categories = {category["id"]: category["name"] for category in coco["categories"]}
    if strange := sorted({a["category_id"] for a in coco["annotations"]} - set(categories)):
        row.fail(
            f"annotations have the category ids {strange[:_SHOWN]}, which are not in `categories`", "correct the file"
        )
    if absent := [name for name in classes if name not in categories.values()]:
        row.fail(
            f"{len(absent)} classes of the config are not among the file's categories, e.g. {absent[0]!r}",
            f"set metainfo.classes to names from {sorted(categories.values())[:_SHOWN]}...",
        )
    images = {image["id"] for image in coco["images"]}
    if orphans := [a["id"] for a in coco["annotations"] if a["image_id"] not in images]:
        row.fail(f"{len(orphans)} annotations belong to no image, e.g. {orphans[0]}", "correct the file")
    row.annotations = sum(len(info["instances"]) for info in infos)
    if dropped := len(coco["annotations"]) - row.annotations:
        row.notes.append(f"{dropped} annotations not used (empty, outside, or of filtered pictures)")
    for info in infos:
        labels = {instance["bbox_label"] for instance in info["instances"]} - set(row.seen)
        if labels and (image := _open(row, info["img_path"])):
            row.seen |= dict.fromkeys(labels, info["img_path"])
            if image.size != (info["width"], info["height"]):
                expected = f"{info['width']}x{info['height']}"
                row.fail(
                    f"{info['img_path']} is {image.width}x{image.height}, the file says {expected}", "correct either"
                )


def _check_segmentation(row: Checked, infos: list[dict], reduce_zero_label: bool) -> None:
    """Semantic maps: files, one value per pixel, values in range; maps are decoded until every class was seen."""
    _check_files(row, [info[key] for info in infos for key in ("img_path", "seg_map_path")])
    shift = int(reduce_zero_label)  # then 0 is not a class, and 1 is the first one
    allowed = {*range(row.classes + shift), IGNORE}
    step = max(1, len(infos) // MOST_MAPS)
    for info in infos[::step]:
        if len(row.seen) == row.classes or len(row.problems) >= _SHOWN or not Path(info["seg_map_path"]).is_file():
            break
        labels = _open(row, info["seg_map_path"])
        if labels is None:
            continue
        values = np.asarray(labels)
        if values.ndim != 2:
            row.fail(f"{info['seg_map_path']} has {values.shape[2]} channels", "store one class number per pixel")
            continue
        present = set(np.unique(values).tolist())
        if wrong := sorted(present - allowed):
            remedy = f"allowed are 0 to {max(allowed - {IGNORE})} and {IGNORE} (ignored)"
            if not reduce_zero_label and wrong == [row.classes]:
                remedy += "; if 0 means `other` there, set reduce_zero_label=True"
            row.fail(f"{info['seg_map_path']} has the values {wrong[:_SHOWN]}", remedy)
        new = {value - shift for value in present - {IGNORE}} & set(range(row.classes)) - set(row.seen)
        if new and (image := _open(row, info["img_path"])):
            row.seen |= dict.fromkeys(new, info["img_path"])
            if image.size != labels.size:
                row.fail(f"{info['img_path']} is {image.size}, its map {labels.size}", "make them the same size")
