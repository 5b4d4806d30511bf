"""The COCO and ADE20K configs train one step and evaluate, on a handful of generated images.

Heads, losses, schedules and pipelines are the configs' own; backbone, images and numbers of regions are small unless
marked slow. Every small backbone is cut from a supernet's checkpoint.
"""

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from poa_bench.config_files import find_config
from poa_bench.elastic import SubnetSpec
from tests.conftest import but_slow
from tests.downstream.networks import FAMILIES, SMALL, tiny_supernet, write_checkpoint

mmdet = pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

DETECTION = [
    ("mask-rcnn_sfp_coco.py", "vit"),
    *itertools.product(["mask-rcnn_fpn_coco.py", "cascade-mask-rcnn_fpn_coco.py"], FAMILIES),
]
SEGMENTATION = list(itertools.product(["upernet_ade20k.py", "linear-seg_ade20k.py"], FAMILIES))


def noise_image(path: Path, size: tuple[int, int], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def write_coco(root: Path, size=(96, 128)) -> None:
    """Two images per split, with two boxes and polygons each."""
    from mmdet.datasets import CocoDataset

    height, width = size
    names = CocoDataset.METAINFO["classes"]
    for split in ("train2017", "val2017"):
        annotations = []
        for image in (1, 2):
            noise_image(root / split / f"{image}.jpg", size, image)
            for x, y, category in ((0, 0, 1), (width // 2, height // 3, 80)):
                w, h = width // 3, height // 2
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": category,
                        "iscrowd": 0,
                        "area": w * h,
                        "bbox": [x, y, w, h],
                        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    }  # fmt: skip
                )
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg", "height": height, "width": width} for i in (1, 2)],
            "annotations": annotations,
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


def write_ade20k(root: Path, size=(96, 128)) -> None:
    """Two images per split, label maps with 0 (ignored) and three of the 150 classes."""
    for split in ("training", "validation"):
        for image in (1, 2):
            noise_image(root / f"images/{split}/{image}.jpg", size, image)
            labels = np.random.default_rng(image).choice([0, 1, 7, 150], size).astype(np.uint8)
            path = root / f"annotations/{split}/{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), labels)


def load(name: str, work_dir: Path, spec: str | SubnetSpec, **options) -> Config:
    """A config with one size, all in one process, one step and one evaluation; tiny sizes come from a supernet."""
    config = Config.fromfile(find_config(name))
    config.merge_from_dict({"model.backbone.spec": str(spec)} | options)
    if isinstance(spec, SubnetSpec):
        config.model.backbone.families = FAMILIES
        checkpoint = write_checkpoint(tiny_supernet(spec.family), work_dir / "supernet.pth")
        config.model.backbone.init_cfg.checkpoint = str(checkpoint)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    config.work_dir = str(work_dir)
    config.log_level = "WARNING"
    return config


def shrink(pipeline: list[dict], side: int) -> None:
    """The pipeline's own steps, with images of at most `side` pixels."""
    for step in pipeline:
        for transforms in step.get("transforms", []):
            shrink(transforms, side)
        if step["type"] == "RandomChoiceResize":
            step["scales"] = [(side, side), (side // 2, side)]
        elif step["type"] in ("Resize", "RandomResize"):
            step["scale"] = (side, side)
        elif step["type"] == "RandomCrop":
            step["crop_size"] = (side // 2, side // 2)


def fewer_regions(model) -> None:
    """16 instead of 512 sampled regions, 50 instead of 1000 proposals."""
    stages = model.train_cfg.rcnn if isinstance(model.train_cfg.rcnn, list) else [model.train_cfg.rcnn]
    for stage in stages:
        stage.sampler.num = 16
    for proposals in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        proposals.update(nms_pre=50, max_per_img=50)
    model.test_cfg.rcnn.max_per_img = 10


def detection(name, folder: Path, spec: str | SubnetSpec, side: int | None = 96) -> Config:
    write_coco(folder / "coco")
    config = load(name, folder / "work", spec, **{"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1})
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(folder / "coco")
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.ann_file = str(folder / "coco/annotations/instances_val2017.json")
    config.model.test_cfg.rcnn.score_thr = 0.0  # an untrained head is sure of nothing
    if side:
        fewer_regions(config.model)
        shrink(config.train_dataloader.dataset.pipeline, side)
        shrink(config.val_dataloader.dataset.pipeline, side)
    return config


def segmentation(name, folder: Path, spec: str | SubnetSpec, side: int | None = 64) -> Config:
    write_ade20k(folder / "ade")
    config = load(name, folder / "work", spec, **{"train_cfg.max_iters": 1, "train_cfg.val_interval": 1})
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(folder / "ade")
    if side:
        shrink(config.train_dataloader.dataset.pipeline, side)
        shrink(config.val_dataloader.dataset.pipeline, side)
        config.model.data_preprocessor.size = (side // 2, side // 2)
        config.model.test_cfg.update(crop_size=(side // 2, side // 2), stride=(side // 3, side // 3))
    return config


def run(config: Config) -> tuple[Runner, dict[str, float]]:
    """Train; the last evaluation's metrics, and the losses that were logged."""
    runner = Runner.from_cfg(config)
    runner.train()
    scalars = {name: buffer.current() for name, buffer in runner.message_hub.log_scalars.items()}
    assert np.isfinite(scalars["train/loss"])
    backbone, given = runner.model.backbone, config.model.backbone.init_cfg.checkpoint
    assert (backbone.load_report and backbone.load_report.path) == given
    recorded = [scalars[f"val/{theirs}"] for theirs in config.measurement.metrics.values()]
    assert len(recorded) >= 2  # NaN where a class is nowhere: the names are there
    return runner, scalars


@pytest.mark.parametrize(("name", "family"), but_slow(DETECTION, DETECTION[:2] + DETECTION[-2:-1]))
def test_coco(name, family, tmp_path):
    runner, scalars = run(detection(name, tmp_path, SMALL[family]))
    assert {"train/loss_rpn_cls", "train/loss_rpn_bbox"} <= scalars.keys()
    assert any("loss_mask" in key for key in scalars)
    assert type(runner.model).__module__.startswith("mmdet.models.detectors")
    assert len(runner.optim_wrapper.param_groups) > 6  # layer-wise decay is on


@pytest.mark.parametrize(("name", "family"), but_slow(SEGMENTATION, SEGMENTATION[::2]))
def test_ade20k(name, family, tmp_path):
    runner, _ = run(segmentation(name, tmp_path, SMALL[family]))
    assert type(runner.model).__name__ == "EncoderDecoder"
    trained = {name.split(".")[0] for name, parameter in runner.model.named_parameters() if parameter.requires_grad}
    assert ("backbone" in trained) == (name == "upernet_ade20k.py")


def test_label_zero_of_ade20k_is_ignored_once(tmp_path):
    """0 -> 255, n -> n - 1, in training and in evaluation (mmsegmentation#1714: twice or not at all)."""
    config = segmentation("upernet_ade20k.py", tmp_path, SMALL["vit"])
    labels = np.array([[0, 1], [2, 150]], dtype=np.uint8)
    path = tmp_path / "label.png"
    cv2.imwrite(str(path), labels)
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS, TRANSFORMS

    init_default_scope("mmseg")
    for loader in (config.train_dataloader, config.val_dataloader):
        dataset = DATASETS.build(loader.dataset)
        step = next(step for step in loader.dataset.pipeline if step["type"] == "LoadAnnotations")
        sample = {**dataset.get_data_info(0), "seg_map_path": str(path)}
        loaded = TRANSFORMS.build(step)(sample)
        assert loaded["gt_seg_map"].tolist() == [[255, 0], [1, 149]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cascade-mask-rcnn_fpn_coco.py", "mask-rcnn_sfp_coco.py"])
@pytest.mark.parametrize("spec", ["vit-s"])
def test_coco_at_paper_scale(name, spec, tmp_path):
    run(detection(name, tmp_path, spec, side=None))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spec"),
    [("upernet_ade20k.py", "vit-b"), ("upernet_ade20k.py", "swin-t"), ("linear-seg_ade20k.py", "vit-b")],
)
def test_ade20k_at_paper_scale(name, spec, tmp_path):
    run(segmentation(name, tmp_path, spec, side=None))
