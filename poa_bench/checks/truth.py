"""A dry run of a config's evaluator: where the predictions are the truth, it must say 100 %."""

import contextlib
import io
import logging
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData

from poa_bench.checks.result import METRIC, Checked, reason
from poa_bench.errors import InputError
from poa_bench.quiet import log_from

PERFECT = {"CocoMetric": 1.0, "IoUMetric": 100.0, "Accuracy": 100.0}  # what these metrics call 100 %
MOST_OBJECTS = 100  # of a picture, that COCO's average precision looks at
_PERFECT_PERCENT = 99.95  # metrics round


class Truth:
    """A perfect network: what it would predict, and what the evaluator makes of it.

    Args:
        evaluator: the config's metric, or a list of them.
        metainfo: the data set's.
        numbers: label number of the data set -> the number that a network trained on the train split gives this class.

    Raises:
        InputError: check-data cannot make the predictions that a metric wants.
    """

    def __init__(self, evaluator: dict | list[dict], metainfo: dict, numbers: dict[int, int]):
        with quiet():
            self.evaluator = Evaluator(evaluator)
        self.evaluator.dataset_meta = metainfo
        self.numbers = numbers
        self.scales = [_scale(metric) for metric in self.evaluator.metrics]
        self.classes = len(metainfo.get("classes") or ())

    def process(self, info: dict, item: Any) -> bytes:
        """What the metrics keep of one picture, pickled.

        Args:
            info: the picture's entry in the data set.
            item: what the pipeline hands to the model.

        Raises:
            InputError: the pipeline's truth cannot be compared with predictions of the picture's size.
        """
        sample = item["data_samples"]
        if "instances" in info:
            sample.pred_instances = self._objects(info, sample)
        elif "seg_map_path" in info:
            sample.pred_sem_seg = self._map(sample)
        else:
            label = self.numbers.get(int(sample.gt_label), int(sample.gt_label))
            sample.set_pred_score(torch.eye(max(self.classes, label + 1))[label])
        self.evaluator.process([sample])
        kept = [metric.results.copy() for metric in self.evaluator.metrics]
        for metric in self.evaluator.metrics:
            metric.results.clear()
        return pickle.dumps(kept)  # bytes, because tensors would travel between processes as open files

    def scores(self, kept: Sequence[bytes], ids: Sequence[Any]) -> dict[str, float]:
        """The metrics in percent.

        Args:
            kept: what :meth:`process` gave for each picture.
            ids: ``img_id`` of the pictures; a detection metric is told to look at these alone.
        """
        found = {}
        results = [pickle.loads(one) for one in kept]
        for place, (metric, scale) in enumerate(zip(self.evaluator.metrics, self.scales, strict=True)):
            if hasattr(metric, "img_ids"):
                metric.img_ids = list(ids)
            metric.results = [one for result in results for one in result[place]]
            with quiet():
                values = metric.evaluate(len(metric.results))
            found |= {name: value / scale * 100 for name, value in values.items() if _is_measured(value)}
        return found

    def _objects(self, info: dict, sample: Any) -> InstanceData:
        objects = [one for one in info["instances"] if not one["ignore_flag"]]
        labels = [self.numbers.get(one["bbox_label"], one["bbox_label"]) for one in objects]
        predicted = InstanceData(
            bboxes=torch.tensor([one["bbox"] for one in objects]).reshape(-1, 4),
            labels=torch.tensor(labels, dtype=torch.int64),
            scores=torch.ones(len(objects)),
        )
        if any("segm" in getattr(metric, "metrics", ()) for metric in self.evaluator.metrics):
            predicted.masks = [_run_lengths(one["mask"], sample.ori_shape) for one in objects]
        return predicted

    def _map(self, sample: Any) -> PixelData:
        if "gt_sem_seg" not in sample:
            raise InputError("the pipeline hands no label map to the metric: add LoadAnnotations after Resize")
        labels = sample.gt_sem_seg.data
        if tuple(labels.shape[-2:]) != tuple(sample.ori_shape):
            raise InputError(
                f"the label map is {labels.shape[-1]}x{labels.shape[-2]} after the pipeline, predictions have the "
                f"picture's {sample.ori_shape[1]}x{sample.ori_shape[0]}: put LoadAnnotations after Resize there"
            )
        predicted = labels.clone()
        for label, number in self.numbers.items():
            predicted[labels == label] = number
        return PixelData(data=predicted)


def check_truth(row: Checked, truth: Truth, infos: Sequence[dict], kept: Sequence[bytes]) -> None:
    """The evaluator gives 100 % for the truth; a lower score is a problem where nothing else explains it.

    Args:
        row: where findings go.
        truth: the dry run.
        infos: the pictures' entries in the data set.
        kept: what ``truth.process`` gave for them.
    """
    fair = [place for place, info in enumerate(infos) if not _is_crowded(info)]
    if crowded := len(infos) - len(fair):
        row.notes.append(f"{crowded} pictures with more than {MOST_OBJECTS} objects: the metric looks at no more")
    try:
        scores = truth.scores([kept[place] for place in fair], [infos[place].get("img_id") for place in fair])
    except Exception as error:  # whatever it raises here, it would raise after the training
        row.fail(
            METRIC, f"the evaluator stops on the truth ({reason(error)})", "correct the annotations or its options"
        )
        return
    low = {name: score for name, score in scores.items() if score < _PERFECT_PERCENT}
    said = ", ".join(f"{name} {score:.4g} %" for name, score in low.items())
    row.fine[METRIC] = said or f"100 % on {len(fair)} pictures"
    if low and not row.problems:
        name, score = next(iter(low.items()))
        row.fail(
            METRIC,
            f"a perfect network gets {name} {score:.4g} %, not 100: training and metric do not read the same truth",
            "look for objects that training leaves out (smaller than a pixel, area 0, `ignore`), for other classes or "
            "another order of them, and whether the evaluator's ann_file is of this data set",
        )


def _is_crowded(info: dict) -> bool:
    return sum(not one["ignore_flag"] for one in info.get("instances", ())) > MOST_OBJECTS


def _scale(metric: Any) -> float:
    names = [kind.__name__ for kind in type(metric).__mro__]
    for name in names:
        if name in PERFECT:
            return PERFECT[name]
    raise InputError(f"no dry run of {names[0]}: known are {', '.join(PERFECT)}")


def _is_measured(value: Any) -> bool:
    """Whether it is a score: COCO says -1 and others NaN where there is nothing to measure."""
    return isinstance(value, int | float | np.number) and not np.isnan(value) and value != -1


def _run_lengths(mask: list | dict, shape: tuple[int, int]) -> dict:
    """A mask of the annotation file as COCO's compressed run lengths of a picture of ``shape`` (height, width)."""
    from pycocotools import mask as codec

    if isinstance(mask, list):
        return codec.merge(codec.frPyObjects(mask, *map(int, shape)))
    if isinstance(mask["counts"], list):
        return codec.frPyObjects(mask, *mask["size"])
    return dict(mask)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what metrics print and log."""
    with log_from(logging.WARNING), contextlib.redirect_stdout(io.StringIO()):
        yield
