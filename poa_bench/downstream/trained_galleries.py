"""The handful of test pictures of a trained model, drawn while the one evaluation of mmdet or mmseg passes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor

from poa_bench.downstream.drawing import (
    LABEL_MAPS_NAMED,
    Colour,
    Objects,
    drawn,
    label_maps_drawn,
    legend,
    palette,
    with_objects,
)
from poa_bench.runs.galleries import Gallery, Row, handful, without_harm

THRESHOLD = 0.3  # of scores, mmdet's own for drawing
MOST = 10  # objects that are drawn, the surest
_NAMED = 3  # of them in a caption

Draw = Callable[[Tensor, Any, Mapping[str, Any], Mapping[str, Any]], tuple[Any, Any]]


class PassingPictures:
    """Keeps rows of a gallery as evaluated samples pass by.

    Args:
        dataset: of mmengine's kind, whose items have an `img_path`.

    Attributes:
        facts: takes the reason where a picture could not be drawn.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.facts: dict[str, str | int | float] = {}
        self._positions: dict[str, int] = {}
        self._rows: dict[str, dict[int, Row]] = {}
        with without_harm(self.facts):
            self._positions = {dataset.get_data_info(place)["img_path"]: place for place in handful(len(dataset))}

    def see(self, samples: Sequence[Any]) -> None:
        """Draw those of the evaluated samples that are of the handful."""
        for sample in samples:
            position = self._positions.get(getattr(sample, "img_path", None))
            if position is None:
                continue
            with without_harm(self.facts):
                for kind in [kind for kind in KINDS if kind in sample]:
                    self._rows.setdefault(kind, {})[position] = self._row(sample, position, KINDS[kind][-1])

    def _row(self, sample: Any, position: int, draw: Draw) -> Row:
        import mmcv

        picture = torch.from_numpy(mmcv.imread(sample.img_path, channel_order="rgb")).permute(2, 0, 1)
        truth, found = draw(picture, sample, self.dataset.get_data_info(position), self.dataset.metainfo)
        return Row(name=f"{position}: {Path(sample.img_path).name}"[-200:], truth=truth, found=found)

    def galleries(self) -> list[Gallery]:
        """Of all processes, each of which must call it."""
        rows: dict[str, dict[int, Row]] = {}
        for found, facts in all_gather_object((self._rows, self.facts)):
            self.facts |= facts
            for kind, of_kind in found.items():
                rows.setdefault(kind, {}).update(of_kind)
        return [_gallery(*KINDS[kind][:-1], of_kind) for kind, of_kind in rows.items()]


def _gallery(name: str, truth: str, about: str, rows: Mapping[int, Row]) -> Gallery:
    return Gallery(name=name, truth=truth, about=about, rows=tuple(rows[position] for position in sorted(rows)))


def draw_objects(picture: Tensor, sample: Any, info: Mapping[str, Any], metainfo: Mapping[str, Any]) -> tuple[Any, Any]:
    """Objects of the annotation, and those found with a score of at least `THRESHOLD`.

    Args:
        picture: as it is stored, (3, H, W) uint8.
        sample: mmdet's, with `pred_instances` in pixels of this picture.
        info: of mmdet's data set, with `instances`.
        metainfo: of the data set: its `classes`, and maybe a `palette`.
    """
    names = metainfo["classes"]
    colours = palette(len(names), metainfo.get("palette"))
    true, found = true_objects(info, picture.shape[1:]), sample.pred_instances
    scores, order = found.scores.sort(descending=True, stable=True)
    order = order[scores >= THRESHOLD][:MOST]
    masks = torch.as_tensor(found.masks, device=order.device)[order] if "masks" in found else None
    objects = Objects(found.bboxes[order], found.labels[order], masks)
    said = [f"{names[label]} {score:.2f}" for label, score in zip(objects.labels, found.scores[order], strict=True)]
    more = [f"{len(said) - _NAMED} more"] * (len(said) > _NAMED)
    caption = ", ".join(said[:_NAMED] + more) or f"nothing above {THRESHOLD:g}"
    true_names = [str(names[label]) for label in true.labels]
    return (
        _objects_drawn(picture, true, colours, names, ", ".join(true_names) or "no object"),
        _objects_drawn(picture, objects, colours, names, caption),
    )


def _objects_drawn(
    picture: Tensor, objects: Objects, colours: Sequence[Colour], names: Sequence[str], caption: str
) -> Any:
    shown = Objects(*(None if part is None else part.flip(0) for part in vars(objects).values()))  # the first on top
    return drawn(with_objects(picture, shown, colours), caption, legend(objects.labels.tolist(), names, colours))


def true_objects(info: Mapping[str, Any], size: Sequence[int]) -> Objects:
    """Objects of an annotation as mmdet's data sets read it, but for those that evaluation ignores.

    Args:
        info: with `instances`: `bbox`, `bbox_label`, and maybe `mask`, a polygon or COCO's run lengths.
        size: height and width of the picture.
    """
    instances = [each for each in info.get("instances", ()) if not each.get("ignore_flag")]
    boxes = torch.tensor([each["bbox"] for each in instances]).view(-1, 4)
    labels = torch.tensor([each["bbox_label"] for each in instances], dtype=torch.long)
    masks = None
    if instances and all("mask" in each for each in instances):
        masks = torch.from_numpy(np.stack([_decoded(each["mask"], *size) for each in instances]))
    return Objects(boxes, labels, masks)


def _decoded(mask: Any, height: int, width: int) -> np.ndarray:
    from pycocotools import mask as coco

    if isinstance(mask, list):
        mask = coco.merge(coco.frPyObjects(mask, height, width))
    elif isinstance(mask["counts"], list):
        mask = coco.frPyObjects(mask, height, width)
    return coco.decode(mask).astype(bool)


def draw_label_map(
    picture: Tensor, sample: Any, info: Mapping[str, Any], metainfo: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The label map of the annotation and the one found; arguments as of `draw_objects`, the sample is mmseg's."""
    maps = sample.gt_sem_seg.data[0].cpu(), sample.pred_sem_seg.data[0].cpu()
    return label_maps_drawn(picture, *maps, metainfo["classes"], metainfo.get("palette"))


# by what evaluated samples hold: name, truth and sentence of the gallery, and what draws a row
KINDS: dict[str, tuple[str, str, str, Draw]] = {
    "pred_instances": (
        "Boxes and masks",
        "annotation",
        f"Of what was found, the {MOST} surest with a score of at least {THRESHOLD:g}; colours are classes. The "
        "numbers behind the names are scores.",
        draw_objects,
    ),
    "pred_sem_seg": (*LABEL_MAPS_NAMED, draw_label_map),
}
