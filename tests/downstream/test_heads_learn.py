"""Every dense head learns on every family to read eight scenes, and does not learn it from scrambled maps.

The evaluators' numbers are compared with pycocotools and with a confusion matrix.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from poa_bench.datasets.scenes import scenes_folder
from tests.downstream.learning import SCENES, SIZES, detection_config, segmentation_config, trained

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

slow = pytest.mark.slow
DETECTION = [
    ("mask-rcnn_sfp_digits.py", "vit"),
    *[pytest.param("mask-rcnn_fpn_digits.py", family, marks=slow) for family in SIZES],
    *[pytest.param("cascade-mask-rcnn_fpn_coco.py", family, marks=slow) for family in SIZES],
]
SEGMENTATION = [
    ("linear-seg_digits.py", "vit"),
    *[pytest.param("linear-seg_digits.py", family, marks=slow) for family in ("swin", "resnet")],
    *[pytest.param("upernet_digits.py", family, marks=slow) for family in SIZES],
]


def precision_by_pycocotools(folder: Path, kind: str) -> dict[str, float]:
    """COCO's average precision of the dumped predictions, at all overlaps and at 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labelled = COCO(str(folder / "truth.json"))
    evaluation = COCOeval(labelled, labelled.loadRes(str(folder / f"found.{kind}.json")), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {f"coco/{kind}_mAP": evaluation.stats[0], f"coco/{kind}_mAP_50": evaluation.stats[1]}


@pytest.mark.parametrize(("name", "family"), DETECTION)
def test_detection(name, family, tmp_path):
    found = trained(detection_config(name, family, tmp_path))
    assert found["coco/bbox_mAP_50"] > 0.8 and found["coco/segm_mAP_50"] > 0.8, found
    for kind in ("bbox", "segm"):
        for metric, expected in precision_by_pycocotools(tmp_path, kind).items():
            assert found[metric] == pytest.approx(expected, abs=0.0006)  # mmdet rounds to three digits


@slow
def test_detection_does_not_learn_from_scrambled_maps(tmp_path):
    found = trained(detection_config("mask-rcnn_sfp_digits.py", "vit", tmp_path), scramble=True)
    assert found.get("coco/bbox_mAP_50", 0.0) < 0.3, found


def overlap_by_confusion_matrix(folder: Path, classes: int = 11) -> tuple[float, float]:
    """Mean intersection over union of the classes that occur, and the share of right pixels, in percent."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for path in sorted((folder / "found").glob("*.png")):
        found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        labels = cv2.imread(str(scenes_folder() / "semantic/train" / path.name), cv2.IMREAD_UNCHANGED)
        counted = labels != 255
        np.add.at(confusion, (labels[counted], found[counted]), 1)
    assert 0.9 < confusion.sum() / (SCENES * 128 * 128) <= 1
    right = confusion.diagonal()
    either = confusion.sum(0) + confusion.sum(1) - right
    return 100 * float(np.mean(right[either > 0] / either[either > 0])), 100 * right.sum() / confusion.sum()


@pytest.mark.parametrize(("name", "family"), SEGMENTATION)
def test_segmentation(name, family, tmp_path):
    found = trained(segmentation_config(name, family, tmp_path))
    assert found["mIoU"] > 80, found
    overlap, accuracy = overlap_by_confusion_matrix(tmp_path)
    assert (found["mIoU"], found["aAcc"]) == pytest.approx((overlap, accuracy), abs=0.006)  # mmseg rounds


def test_segmentation_does_not_learn_from_scrambled_maps(tmp_path):
    name, family = SEGMENTATION[0]
    found = trained(segmentation_config(name, family, tmp_path), scramble=True)
    assert found["mIoU"] < 40, found
