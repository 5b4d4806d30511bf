"""Outcomes of trained models: the numbers of pycocotools, mmseg and mmpretrain, also of pictures drawn again."""

import contextlib
import io

import numpy as np
import pytest
import torch

from poa_bench.downstream.evaluators import detection_outcomes, record_outcomes
from poa_bench.runs.outcome_files import read_outcomes, write_outcomes

pycocotools = pytest.importorskip("pycocotools")
mmseg = pytest.importorskip("mmseg")

from mmengine.evaluator import Evaluator  # noqa: E402
from pycocotools.coco import COCO  # noqa: E402
from pycocotools.cocoeval import COCOeval  # noqa: E402

PICTURES, CLASSES = 12, 4
DRAW = np.random.default_rng(0)


def made_boxes():
    """Objects (a crowd among them, a class without any) and detections, near them or anywhere, of each picture."""
    objects, detections = [], []
    for picture in range(PICTURES):
        for _ in range(DRAW.integers(0, 6)):
            label, box = int(DRAW.integers(1, CLASSES)), [*DRAW.uniform(0, 80, 2), *DRAW.uniform(5, 60, 2)]
            crowd = int(DRAW.random() < 0.15)
            objects.append((picture, label, [float(each) for each in box], crowd))
            for _ in range(DRAW.integers(0, 3)):
                near = [float(each + shift) for each, shift in zip(box, DRAW.normal(0, 3, 4), strict=True)]
                detections.append((picture, label, near, float(DRAW.random())))
        for _ in range(DRAW.integers(0, 4)):
            anywhere = [float(each) for each in [*DRAW.uniform(0, 80, 2), *DRAW.uniform(5, 60, 2)]]
            detections.append((picture, int(DRAW.integers(1, CLASSES + 1)), anywhere, float(DRAW.random())))
    return objects, detections


def coco_evaluation(objects, detections, pictures):
    """pycocotools' evaluation of these pictures, one that stands there twice as two pictures."""
    truth, found = [], []
    for new, old in enumerate(pictures):
        for picture, label, box, crowd in objects:
            if picture == old:
                about = {"image_id": new, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
                truth.append({**about, "id": len(truth) + 1})
        found += [
            {"image_id": new, "category_id": label, "bbox": box, "score": score}
            for picture, label, box, score in detections
            if picture == old
        ]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": new} for new in range(len(pictures))],
        "annotations": truth,
        "categories": [{"id": label} for label in range(1, CLASSES + 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_precision_is_pycocotools_of_every_picture_and_of_pictures_drawn_again(tmp_path):
    objects, detections = made_boxes()
    evaluation = coco_evaluation(objects, detections, range(PICTURES))
    write_outcomes(detection_outcomes(evaluation), tmp_path / "outcomes.npz")
    outcomes = read_outcomes(tmp_path / "outcomes.npz")
    assert list(outcomes) == ["bbox_mAP", "bbox_mAP_50", "bbox_mAP_75"] and 0.1 < evaluation.stats[0] < 0.9
    assert [each.score for each in outcomes.values()] == pytest.approx(evaluation.stats[:3].tolist(), abs=1e-12)
    counts = np.stack([np.bincount(DRAW.integers(PICTURES, size=PICTURES), minlength=PICTURES) for _ in range(6)])
    counts[0] = 0
    counts[0, :3] = 4  # few pictures: a class may be without an object
    found = np.stack([each.scores(counts.astype(np.uint8)) for each in outcomes.values()], 1)
    expected = [
        coco_evaluation(objects, detections, np.repeat(np.arange(PICTURES), count)).stats[:3] for count in counts
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_mmdet_mmseg_and_mmpretrain_leave_outcomes_as_they_compute():
    found, evaluator = {}, Evaluator([iou_metric(), accuracy()])
    record_outcomes(evaluator, found)
    labels, said = DRAW.integers(3, size=(2, 5, 8, 8))
    for true, guess in zip(labels, said, strict=True):
        sample = {"gt_sem_seg": {"data": torch.tensor(true)[None]}, "pred_sem_seg": {"data": torch.tensor(guess)[None]}}
        evaluator.metrics[0].process({}, [sample])
    for row in DRAW.random((5, 4)):
        evaluator.metrics[1].process(
            {}, [{"pred_score": torch.tensor(row), "gt_label": torch.tensor([DRAW.integers(4)])}]
        )
    values = evaluator.evaluate(5)
    assert found.keys() == {"mIoU", "mAcc", "aAcc", "accuracy/top1", "accuracy/top3"}
    for name, outcome in found.items():
        assert outcome.score == pytest.approx(float(values[name]), abs=0.006), name
    again = iou_metric()
    counts = np.array([[2, 0, 1, 1, 1]])
    for place in (0, 0, 2, 3, 4):
        pair = torch.tensor(said[place]), torch.tensor(labels[place])
        again.results.append(again.intersect_and_union(*pair, 3, 255))
    expected = again.evaluate(5)
    for name in ("mIoU", "mAcc", "aAcc"):
        assert found[name].scores(counts)[0] == pytest.approx(float(expected[name]), abs=0.006)


def iou_metric():
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": ("a", "b", "c")}
    return metric


def accuracy():
    pytest.importorskip("mmpretrain")
    from mmpretrain.evaluation import Accuracy

    return Accuracy(topk=(1, 3))


def test_classes_that_no_map_has_do_not_count():
    found, metric = {}, iou_metric()
    evaluator = Evaluator([metric])
    record_outcomes(evaluator, found)
    metric.results.append(metric.intersect_and_union(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]), 3, 255))
    values = evaluator.evaluate(1)
    assert found["mIoU"].score == pytest.approx(25.0)  # 1/2 and 0
    assert found["mAcc"].score == pytest.approx(50.0) and float(values["mIoU"]) == 25.0
