"""What happened on each picture, from the evaluators of mmdet, mmseg and mmpretrain, without a second evaluation.

Their metrics compute from results by picture, which mmengine has gathered from all processes in the order of the data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

from poa_bench.runs.outcomes import MeanOutcome, Outcome, RatioOutcome
from poa_bench.runs.precision import PrecisionOutcome

if TYPE_CHECKING:
    from mmengine.evaluator import BaseMetric, Evaluator

OVERLAPS = {"mAP": slice(None), "mAP_50": 0.5, "mAP_75": 0.75}  # of mmdet's names: IoU thresholds
_COCO = "mmdet.evaluation.metrics.coco_metric"


def record_outcomes(evaluator: Evaluator, found: dict[str, Outcome]) -> None:
    """Fill `found`, by the evaluator's names, with the outcomes of every metric known here, once it is computed."""
    for metric in evaluator.metrics:
        metric.compute_metrics = _recording(metric, metric.compute_metrics, found)


def _recording(metric: BaseMetric, compute: Callable, found: dict[str, Outcome]) -> Callable:
    def compute_metrics(results: list) -> dict[str, float]:
        with _evaluations() as evaluations:
            values = compute(results)
        outcomes = _outcomes(metric, results, evaluations)
        found.update({f"{metric.prefix}/{name}" if metric.prefix else name: each for name, each in outcomes.items()})
        return values

    return compute_metrics


def _outcomes(metric: BaseMetric, results: Sequence, evaluations: Sequence) -> dict[str, Outcome]:
    kinds = {kind.__name__ for kind in type(metric).__mro__}
    if "IoUMetric" in kinds and results:
        return segmentation_outcomes(results)
    if "Accuracy" in kinds and results and metric.thrs == (0.0,):
        return classification_outcomes(results, metric.topk)
    if "CocoMetric" in kinds:
        return {name: each for evaluation in evaluations for name, each in detection_outcomes(evaluation).items()}
    return {}


def segmentation_outcomes(results: Sequence[Sequence[torch.Tensor]]) -> dict[str, Outcome]:
    """Of mmseg's IoUMetric.

    Args:
        results: of each picture the areas by class of intersection, union, prediction and label.
    """
    both, either, _, true = (
        np.stack([area.cpu().numpy() for area in areas]).round().astype(np.int64)
        for areas in zip(*results, strict=True)
    )
    return {
        "mIoU": RatioOutcome(both, either),
        "mAcc": RatioOutcome(both, true),
        "aAcc": RatioOutcome(both.sum(1, keepdims=True), true.sum(1, keepdims=True)),
    }


def classification_outcomes(results: Sequence[Mapping[str, torch.Tensor]], depths: Sequence[int]) -> dict[str, Outcome]:
    """Of mmpretrain's Accuracy.

    Args:
        results: of each picture `gt_label` and `pred_score` or `pred_label`.
        depths: of the accuracies.
    """
    true = torch.cat([result["gt_label"].view(-1)[:1] for result in results])
    if "pred_score" not in results[0]:
        said = torch.cat([result["pred_label"].view(-1)[:1] for result in results])
        return {"top1": MeanOutcome((said == true).numpy())}
    scores, said = torch.stack([result["pred_score"] for result in results]).topk(max(depths), dim=1)
    hits = (said == true[:, None]) & (scores > 0)
    return {f"top{depth}": MeanOutcome(hits[:, :depth].any(1).numpy()) for depth in depths}


@contextmanager
def _evaluations() -> Iterator[list[Any]]:
    """The COCOeval objects that mmdet makes meanwhile, in the order in which they were accumulated."""
    found: list[Any] = []
    module = sys.modules.get(_COCO)
    if module is None:
        yield found
        return

    def kept(kind: type) -> type:
        def accumulate(self: Any, *arguments: Any) -> None:
            kind.accumulate(self, *arguments)
            found.append(self)

        return type(kind.__name__, (kind,), {"accumulate": accumulate})

    with patch.multiple(module, COCOeval=kept(module.COCOeval), COCOevalMP=kept(module.COCOevalMP)):
        yield found


def detection_outcomes(evaluation: Any) -> dict[str, Outcome]:
    """Of pycocotools' COCOeval, after it was evaluated: precision over objects of all areas.

    Detections behind the last hit of their class are left out: they change no precision that is read.
    """
    parameters = evaluation.params
    if not parameters.useCats:
        return {}
    count, areas = len(parameters.imgIds), len(parameters.areaRng)
    parts, objects = [], np.zeros((len(parameters.catIds), count), np.int64)
    for place in range(len(parameters.catIds)):
        start = place * areas * count  # the first area is all
        pictures = {
            number: each for number, each in enumerate(evaluation.evalImgs[start : start + count]) if each is not None
        }
        for number, each in pictures.items():
            objects[place, number] = np.count_nonzero(np.asarray(each["gtIgnore"]) == 0)
        parts.append(_of_class(pictures, parameters.maxDets[-1], len(parameters.iouThrs)))
    picture, hits, ignored = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
    starts = np.cumsum([0, *(len(part[0]) for part in parts)])
    thresholds = np.asarray(parameters.iouThrs)
    found = {}
    for name, overlap in OVERLAPS.items():
        own = overlap if isinstance(overlap, slice) else np.isclose(thresholds, overlap)
        if len(hits[own]):
            outcome = PrecisionOutcome(picture, starts, hits[own], ignored[own], objects, scale=1.0)
            found[f"{parameters.iouType}_{name}"] = outcome
    return found


def _of_class(pictures: Mapping[int, Mapping[str, Any]], most: int, overlaps: int) -> tuple[np.ndarray, ...]:
    """Picture, hits and ignored of the detections of a class, the surest first, as COCOeval.accumulate sorts them."""
    if not pictures:
        return np.zeros(0, np.int64), np.zeros((overlaps, 0), bool), np.zeros((overlaps, 0), bool)
    scores = np.concatenate([np.asarray(each["dtScores"])[:most] for each in pictures.values()])
    order = np.argsort(-scores, kind="mergesort")
    number = np.concatenate([np.full(len(each["dtScores"][:most]), key) for key, each in pictures.items()])[order]
    hits, ignored = (
        np.concatenate([np.asarray(each[name])[:, :most] for each in pictures.values()], axis=1)[:, order].astype(bool)
        for name in ("dtMatches", "dtIgnore")
    )
    right = np.flatnonzero((hits & ~ignored).any(0))
    end = right[-1] + 1 if len(right) else 0
    return number[:end].astype(np.int64), hits[:, :end], ignored[:, :end]
