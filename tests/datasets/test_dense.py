"""The digit scenes through mmdet's and mmseg's own pipelines, and the label rules of segmentation data."""

import numpy as np
import pytest
from mmengine.registry import DATASETS, METRICS, DefaultScope
from PIL import Image

from poa_bench.errors import InputError

pytest.importorskip("mmdet", reason="needs the dense extra")
pytest.importorskip("mmseg", reason="needs the dense extra")


@pytest.fixture
def scope(request):
    """Set mmengine's default scope to the test's parameter."""
    with DefaultScope.overwrite_default_scope(request.param):
        yield


@pytest.mark.parametrize("scope", ["mmdet"], indirect=True)
def test_detection_items(scope):
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs"),
    ]
    data = DATASETS.build(dict(type="poa_bench.DigitsDetection", split="val", pipeline=pipeline, indices=5))
    for item in data:
        instances = item["data_samples"].gt_instances
        assert item["inputs"].shape == (3, 128, 128)
        for mask, (left, top, right, bottom) in zip(instances.masks.masks, instances.bboxes.tensor.int(), strict=True):
            assert mask[top:bottom, left:right].sum() == mask.sum() > 0
        assert instances.labels.min() >= 0 and instances.labels.max() <= 9


@pytest.mark.parametrize("scope", ["mmdet"], indirect=True)
def test_perfect_predictions_have_full_average_precision(scope):
    """The annotation file and the class order of data set and metric fit together."""
    import torch
    from mmdet.structures.mask import encode_mask_results

    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs", meta_keys=("img_id", "ori_shape")),
    ]
    data = DATASETS.build(dict(type="poa_bench.DigitsDetection", split="val", pipeline=pipeline, test_mode=True))
    metric = METRICS.build(dict(type="poa_bench.DigitsCocoMetric", metric=["bbox", "segm"]))
    metric.dataset_meta = data.metainfo
    for item in data:
        truth = item["data_samples"].gt_instances
        found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.ones(len(truth)))
        found["masks"] = encode_mask_results(truth.masks.masks)
        metric.process({}, [dict(pred_instances=found, **item["data_samples"].metainfo)])
    scores = metric.evaluate(len(data))
    assert scores["coco/bbox_mAP"] == scores["coco/segm_mAP"] == 1


@pytest.mark.parametrize("scope", ["mmseg"], indirect=True)
def test_segmentation_items(scope):
    pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
    data = DATASETS.build(dict(type="poa_bench.DigitsSegmentation", split="val", pipeline=pipeline))
    assert len(data.metainfo["classes"]) == len(data.metainfo["palette"]) == 11
    seen = set()
    for i in range(0, 150, 10):
        seen |= set(data[i]["data_samples"].gt_sem_seg.data.unique().tolist())
    assert seen == {*range(11), 255}


@pytest.mark.parametrize("scope", ["mmdet", "mmseg"], indirect=True)
def test_kept_train_scenes_are_those_of_the_plain_data_set(scope, monkeypatch):
    """Opened once, though a transform works in place; the judge is mmengine's way, which opens them each time."""
    detection = DefaultScope.get_current_instance().scope_name == "mmdet"
    name, pack = ("DigitsDetection", "PackDetInputs") if detection else ("DigitsSegmentation", "PackSegInputs")
    load = dict(type="LoadAnnotations", **dict(with_bbox=True, with_mask=True) if detection else {})
    draws = [dict(type="RandomFlip", prob=0.5), *([] if detection else [dict(type="RandomCrop", crop_size=(32, 32))])]
    pipeline = [dict(type="LoadImageFromFile"), load, dict(type="Resize", scale=(64, 64)), *draws, dict(type=pack)]
    data = DATASETS.build(dict(type=f"poa_bench.{name}", split="train", pipeline=pipeline, indices=3))
    opened, load_first = [], type(data.pipeline.transforms[0]).transform
    monkeypatch.setattr(
        type(data.pipeline.transforms[0]), "transform", lambda self, item: opened.append(1) or load_first(self, item)
    )

    def drawn(make):
        np.random.seed(0)
        return [make(place) for _ in range(4) for place in range(3)]

    kept = drawn(data.prepare_data)
    assert len(opened) == 3
    for found, expected in zip(kept, drawn(super(type(data).__mro__[1], data).prepare_data), strict=True):
        assert (found["inputs"] == expected["inputs"]).all()
        found, expected = found["data_samples"], expected["data_samples"]
        assert found.flip == expected.flip
        if detection:
            assert (found.gt_instances.bboxes.tensor == expected.gt_instances.bboxes.tensor).all()
            assert (found.gt_instances.masks.masks == expected.gt_instances.masks.masks).all()
        else:
            assert (found.gt_sem_seg.data == expected.gt_sem_seg.data).all()
    assert len(opened) == 3 + 12


@pytest.mark.parametrize("name", ["DigitsDetection", "DigitsSegmentation"])
def test_unknown_split_is_named(name):
    with pytest.raises(InputError, match="'test' of the digit scenes; use one of train, val"):
        DATASETS.build(dict(type=f"poa_bench.{name}", split="test"))


@pytest.mark.parametrize("scope", ["mmseg"], indirect=True)
def test_ade20k_label_rule(scope, tmp_path):
    """File value 0 ("other") becomes 255, wall = 1 becomes 0, flag = 150 becomes 149, 255 stays: exactly once."""
    from mmengine.config import Config

    from poa_bench.config_files import config_root

    config = Config.fromfile(config_root() / "configs/_base_/datasets/data_ade20k_512.py")
    for kind, folder in (("train", "training"), ("val", "validation")):
        for name in (f"images/{folder}", f"annotations/{folder}"):
            (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / f"images/{folder}/x.jpg")
        Image.fromarray(np.array([[0, 1], [150, 255]], np.uint8)).save(tmp_path / f"annotations/{folder}/x.png")
        dataset = config[f"{kind}_dataloader"].dataset
        loads = [step for step in dataset.pipeline if step.type in ("LoadImageFromFile", "LoadAnnotations")]
        dataset.update(data_root=str(tmp_path), pipeline=[*loads, dict(type="PackSegInputs")])
        labels = DATASETS.build(dataset)[0]["data_samples"].gt_sem_seg.data
        assert labels.tolist() == [[[255, 0], [149, 255]]]
