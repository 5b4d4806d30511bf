"""Scores of label maps against mmseg's metric and scikit-learn, soft labels of patches against counting pixels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from poa_bench.downstream.label_maps import LabelMaps
from poa_bench.downstream.scenes import IGNORE

CLASSES = 5


def maps(pictures: int = 6, seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Predictions (5, H, W) that are often right, of pictures of several sizes; class 4 appears nowhere."""
    draw = np.random.default_rng(seed)
    truths, predicted = [], []
    for _ in range(pictures):
        size = draw.integers(9, 20, 2)
        truth = draw.integers(0, CLASSES - 1, size)
        scores = draw.normal(size=(CLASSES, *size)) + 1.5 * np.eye(CLASSES)[truth].transpose(2, 0, 1)
        scores[4] = -9
        truth[draw.random(size) < 0.2] = IGNORE
        truths.append(torch.from_numpy(truth))
        predicted.append(torch.from_numpy(scores))
    return predicted, truths


def test_scores_are_those_of_scikit_learn():
    truth = LabelMaps(CLASSES)
    predicted, truths = maps()
    rows = np.stack([truth.compare(*pair) for pair in zip(predicted, truths, strict=True)])
    found = {name: outcome.score for name, outcome in truth.scores(rows).items()}
    true = np.concatenate([labels[labels != IGNORE] for labels in truths])
    guess = np.concatenate([p.argmax(0)[labels != IGNORE] for p, labels in zip(predicted, truths, strict=True)])
    confusion = confusion_matrix(true, guess, labels=range(4))
    assert found["mIoU"] == pytest.approx(100 * jaccard_score(true, guess, labels=range(4), average="macro"))
    assert found["aAcc"] == pytest.approx(100 * accuracy_score(true, guess))
    assert found["mAcc"] == pytest.approx(100 * (confusion.diagonal() / confusion.sum(1)).mean())
    assert 20 < found["mIoU"] < 80


def test_scores_are_those_of_mmseg():
    metrics = pytest.importorskip("mmseg.evaluation.metrics", reason="needs the dense extra")
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    truth, metric = LabelMaps(CLASSES), metrics.IoUMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": [str(label) for label in range(CLASSES)]}
    predicted, truths = maps(seed=1)
    for scores, labels in zip(predicted, truths, strict=True):
        sample = SegDataSample(
            pred_sem_seg=PixelData(data=scores.argmax(0, keepdim=True)), gt_sem_seg=PixelData(data=labels[None])
        )
        metric.process({}, [sample.to_dict()])
    expected = metric.evaluate(len(truths))
    rows = np.stack([truth.compare(*pair) for pair in zip(predicted, truths, strict=True)])
    found = {name: round(outcome.score, 2) for name, outcome in truth.scores(rows).items()}
    assert found == {name: pytest.approx(expected[name], abs=0.011) for name in ("mIoU", "aAcc", "mAcc")}


def test_soft_labels_are_shares_of_pixels():
    truth = torch.randint(0, 3, (18, 20), generator=torch.Generator().manual_seed(0))
    truth[:4, :4] = IGNORE
    found = LabelMaps(3).targets(truth, (18, 20), 8, (3, 3))
    for row in range(3):
        for column in range(3):
            inside = truth[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].flatten()
            expected = [(inside == label).sum() / 64 for label in range(3)]
            assert found[row, column].tolist() == pytest.approx([float(share) for share in expected])
    weights = LabelMaps(3).weights(found)
    assert weights[0, 0] == 0.75 and weights[2, 2] == pytest.approx(2 * 4 / 64)


def test_labels_are_resized_to_the_picture_like_mmseg_does():
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 1]])
    found = LabelMaps(3).targets(truth, (8, 8), 4, (2, 2))
    assert found[0, 0].tolist() == [1, 0, 0] and found[1, 0].tolist() == [0, 0, 1]
    assert found[1, 1].tolist() == [0.75, 0.25, 0]
