"""COCO data whose labels follow the names of the classes. Importing this module needs mmdet.

mmdet numbers categories in the order of each file's ``categories``, and leaves out classes that a file has not: two
files that name the same classes in another order, or one class less, swap labels without a word.
"""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmengine.logging import print_log

from poa_bench.datasets.labels import check_unique, quoted
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS, METRICS


def category_ids(coco: COCO, classes: Sequence[str], where: str) -> list[int | None]:
    """The id of each class's category, in the order of the classes; None for a class that the file has not.

    Raises:
        InputError: the file has no categories, two of one name, or none of the classes.
    """
    categories = coco.dataset.get("categories")
    if not categories:
        raise InputError(f"{where} has no `categories`; give a COCO file, with the name and id of each category")
    check_unique([category["name"] for category in categories], f"`categories` of {where}")
    ids = {category["name"]: category["id"] for category in categories}
    if not set(classes) & set(ids):
        raise InputError(
            f"{where} has the categories {quoted(ids)}, none of the config's classes {quoted(classes)}; set "
            "metainfo=dict(classes=[...]) of every data set, and num_classes of the heads"
        )
    return [ids.get(name) for name in classes]


class _NamedCategories(COCO):
    """mmdet's reader, which returns one id for each name that is asked for."""

    def __init__(self, path: str):
        super().__init__(path)
        self.path = path

    def get_cat_ids(self, cat_names: Sequence[str] = (), sup_names: Sequence = (), cat_ids: Sequence = ()) -> list:
        """Ids in the order of the names; None for a name that the file has not."""
        return category_ids(self, cat_names, self.path)

    def annotated(self) -> dict[str, int]:
        """How many annotations each category has, by name."""
        counts = Counter(annotation["category_id"] for annotation in self.dataset.get("annotations", ()))
        return {category["name"]: counts[category["id"]] for category in self.dataset.get("categories", ())}


@DATASETS.register_module()
class NamedCocoDataset(CocoDataset):
    """mmdet's CocoDataset, whose labels are places in ``metainfo.classes``, whatever the order in the file.

    A class without annotations is a warning, and so are annotations of categories that are no class; the latter are
    not used, as in mmdet.

    Attributes:
        annotated: how many annotations the file has of each category, by name.

    Raises:
        InputError: see :func:`category_ids`; the file has no pictures or, unless in test mode, no annotations.
    """

    def COCOAPI(self, path: str) -> COCO:
        """Open the annotation file, and keep what it says of categories."""
        coco = _NamedCategories(path)
        needed = ("images",) if self.test_mode else ("images", "annotations")
        if missing := [key for key in needed if key not in coco.dataset]:
            raise InputError(
                f"{path} has no `{missing[0]}`, but {quoted(coco.dataset)}; give a COCO file with images, annotations "
                "and categories"
            )
        self.annotated = coco.annotated()
        classes = self.metainfo["classes"]
        if absent := [name for name in classes if not self.annotated.get(name)]:
            print_log(f"{path} has no annotation of {quoted(absent)}", logger="current", level=logging.WARNING)
        if other := {name: count for name, count in self.annotated.items() if count and name not in classes}:
            message = f"{sum(other.values())} annotations of {path} are not used: {quoted(other)} are no classes here"
            print_log(message, logger="current", level=logging.WARNING)
        return coco


@METRICS.register_module()
class NamedCocoMetric(CocoMetric):
    """mmdet's CocoMetric for labels that are places in ``dataset_meta['classes']``.

    Args:
        **kwargs: of CocoMetric; categories are always sorted, since pycocotools returns them sorted by id.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "sort_categories": True})

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write predictions under the ids of the file; those of classes that it has not are left out."""
        of_file = self.cat_ids
        of_label = category_ids(self._coco_api, self.dataset_meta["classes"], "the annotation file")
        known = np.array([category is not None for category in of_label])
        self.cat_ids = of_label
        try:
            return super().results2json([_only(result, known[result["labels"]]) for result in results], outfile_prefix)
        finally:
            self.cat_ids = of_file


def _only(result: dict, kept: np.ndarray) -> dict:
    """The predictions of one picture at the places ``kept`` (N,) bool."""
    if kept.all():
        return result
    chosen = {name: result[name][kept] for name in ("labels", "bboxes", "scores", "mask_scores") if name in result}
    if "masks" in result:
        chosen["masks"] = [mask for mask, keep in zip(result["masks"], kept, strict=True) if keep]
    return {**result, **chosen}
