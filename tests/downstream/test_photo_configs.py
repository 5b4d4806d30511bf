"""The configs of docs/photos.md, unchanged but for their length, on hand-made data of the same layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from poa_bench.config_files import read_config
from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.elastic.preprocessing import Preprocessing
from poa_bench.sweep.light import evaluate_checkpoint
from poa_bench.sweep.plan import expand, load_sweep, make_sweep
from poa_bench.tasks.trained import run_trained
from tests.downstream.networks import write_checkpoint

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

PRETRAINING = "poa_vit_photos.py"
CELLS = ("RBC", "WBC", "Platelets")
DETECTION = {
    "faster-rcnn_sfp-frozen_bccd.py": ("bccd/annotations/instances_{}.json", "test"),
    "faster-rcnn_sfp-frozen_coco-mini.py": ("coco_mini/annotations/instances_{}_super12.json", "val"),
}
PETS = "upernet-frozen_pets.py"
PICTURES = {"train": 4, "val": 3, "test": 2}  # which split was measured shows in their number
SIZES = ["vit-w64-d2", "vit-w96-d4"]


def noise(path: Path, width: int, height: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)).save(path)


def write_boxes(root: Path, annotations: str, classes: tuple[str, ...]) -> None:
    """Two boxes a picture, and categories in another order than the config's classes."""
    for split, count in PICTURES.items():
        images = [{"id": i, "file_name": f"{split}{i}.jpg", "width": 96, "height": 64} for i in range(count)]
        boxes = []
        for number in range(2 * count):
            where = {"image_id": number // 2, "bbox": [10 * (number % 2), 8, 40, 40], "area": 1600, "iscrowd": 0}
            boxes.append({"id": number + 1, "category_id": number % len(classes) + 1, **where})
        for image in images:
            noise(root / "images" / image["file_name"], 96, 64, image["id"])
        categories = [{"id": i, "name": name} for i, name in enumerate(reversed(classes), 1)]
        path = root / annotations.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))


def write_pets(root: Path) -> None:
    for split in ("train", "test"):
        for number in range(PICTURES[split]):
            noise(root / "images" / split / f"{number}.jpg", 120, 100, number)
            labels = np.random.default_rng(number).choice([0, 1, 2, 3, 255], (100, 120)).astype(np.uint8)
            path = root / "masks" / split / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where commands are started: `data` is in it."""
    write_boxes(tmp_path / "data/bccd", "annotations/instances_{}.json", CELLS)
    classes = read_config("faster-rcnn_sfp-frozen_coco-mini.py").classes
    write_boxes(tmp_path / "data/coco_mini", "annotations/instances_{}_super12.json", classes)
    write_pets(tmp_path / "data/pets3_256")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A supernet of two small sizes, built as the pre-training on photographs builds its own."""
    torch.manual_seed(0)
    space = SearchSpace("vit", widths=[64], depths=[2, 3], head_dim=32)
    supernet = Supernet(space, img_size=96, patch_size=16)
    supernet.preprocessing = Preprocessing(image_size=96)
    return write_checkpoint(supernet, tmp_path / "supernet.pth")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("config", [*DETECTION, PETS])
def test_heads_train_and_are_measured_on_the_split_that_the_config_names(config, size, folder):
    measurement = read_config(config).measurement
    options = {"train_cfg.max_iters": 1, "log_level": "WARNING"}
    if config in DETECTION:
        options["model.test_cfg.rcnn.score_thr"] = 0.0  # heads of one step are sure of nothing
    entry = dict(task=measurement.task, settings=dict(config=config, cfg_options=options))
    entry |= dict(specs=[size], initialisations=["random"])
    (run,) = expand(make_sweep(dict(name="photos", checkpoints=[PRETRAINING], results="results", tasks=[entry])))
    result = run_trained(run, folder / "work", "cpu")
    assert result.metrics.keys() == measurement.metrics.keys()
    assert all(0 <= score <= 100 for score in result.metrics.values())
    assert result.facts["test_images"] == PICTURES[measurement.split]
    trained = torch.load(folder / "work/iter_1.pth", weights_only=False)["optimizer"]["state"]
    heads = sum(state["exp_avg"].numel() for state in trained.values())
    assert heads == result.facts["head_parameters"]  # the backbone is frozen


@pytest.mark.parametrize("config", DETECTION)
def test_classes_are_those_of_the_annotations(config, shared_data, folder):
    """By the table of the data's README, whose order is that of the file."""
    name = {"bccd": "det_bccd", "coco-mini": "det_coco_mini"}[read_config(config).measurement.dataset]
    readme = (shared_data(name) / "README.md").read_text()
    classes = read_config(config).val_dataloader.dataset.metainfo.classes
    assert read_config(config).model.roi_head.bbox_head.num_classes == len(classes)
    if name == "det_coco_mini":
        assert [f"| {i} | {name} |" in readme for i, name in enumerate(classes, 1)] == [True] * 12
    else:
        assert [readme.split("train |")[1].find(each) > 0 for each in classes] == [True] * 3


def test_patches_of_pets_are_measured(folder, checkpoint):
    protocols = ["patch-knn-k30-T0.02-s16-n10000-slide2/1", "patch-linear-grid13-b0.5-s16-n10000-slide2/1"]
    tasks = ["patch-knn", "patch-linear"]
    found = evaluate_checkpoint(checkpoint, "pets3", folder / "results", tasks=tasks, protocols=protocols)
    assert {result.protocol for result in found} == set(protocols)
    assert {result.spec for result in found} == {"vit-w64-d2", "vit-w64-d3"}


def test_the_sweep_repeats_what_differs_by_the_seed_alone(folder, checkpoint):
    runs = expand(load_sweep("sweep_photos", checkpoints=[str(checkpoint)]))
    count = {}
    for run in runs:
        key = (run.task, run.dataset, run.initialisation)
        count[key] = count.get(key, 0) + 1
    sizes, seeds = 2, 3
    for task, protocols in (("knn", 2), ("retrieval", 1), ("rank", 1)):  # pre-trained features are the same each time
        found = [count[task, "caltech101", start] for start in ("pretrained", "random", "pixels")]
        assert found == [protocols * sizes, protocols * seeds * sizes, protocols]
    found = [count["kmeans", "caltech101", start] for start in ("pretrained", "random", "pixels")]
    assert found == [seeds * sizes, seeds * sizes, seeds]
    once = [("linear", "caltech101"), ("calibration", "caltech101"), ("patch-knn", "pets3"), ("patch-linear", "pets3")]
    for task, data in once:
        assert [count[task, data, start] for start in ("pretrained", "random", "pixels")] == [sizes, sizes, 1]
    for task, data in (("detection", "bccd"), ("detection", "coco-mini"), ("segmentation", "pets3")):
        assert [count[task, data, start] for start in ("pretrained", "random")] == [sizes, sizes]
    assert count["profile", "caltech101", "pretrained"] == sizes and len(count) == 8 * 3 + 1 + 3 * 2
