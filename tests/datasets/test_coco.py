"""COCO files that name the same classes in another way: labels and scores follow the names."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, METRICS, DefaultScope

from poa_bench.errors import InputError

pytest.importorskip("mmdet", reason="needs the dense extra")

CLASSES = ("cat", "dog", "cow")
ORDERS = {
    "as the classes": {1: "cat", 2: "dog", 3: "cow"},
    "the same ids in another order": {3: "cow", 1: "cat", 2: "dog"},
    "other ids": {7: "cow", 4: "dog", 9: "cat"},
    "one class less": {1: "dog", 2: "cow"},
    "one category more": {0: "animal", 1: "cow", 2: "horse", 5: "cat", 6: "dog"},
}
SIDES = {"cat": 10, "dog": 20, "cow": 30, "horse": 40, "animal": 50}  # what is in a box is seen from its size


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def write_coco(path, categories: dict[int, str], annotated=None) -> str:
    """Two pictures without files; each shows one box of every annotated category."""
    annotated = [name for name in categories.values() if name != "animal"] if annotated is None else annotated
    ids = {name: category for category, name in categories.items()}
    coco = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in categories.items()]}
    for image in (1, 2):
        coco["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 200, "height": 200})
        for name in annotated:
            side, number = SIDES[name], len(coco["annotations"])
            box = {"bbox": [5 + number, 6, side, side], "area": side**2, "iscrowd": 0}
            coco["annotations"].append({"id": number + 1, "image_id": image, "category_id": ids[name], **box})
    path.write_text(json.dumps(coco))
    return str(path)


def build(ann_file: str, kind: str = "poa_bench.NamedCocoDataset", classes=CLASSES):
    data = dict(type=kind, ann_file=ann_file, data_prefix=dict(img=""), metainfo=dict(classes=classes), pipeline=[])
    return DATASETS.build(data)


def names_by_size(data) -> set[tuple[str, int]]:
    return {
        (data.metainfo["classes"][instance["bbox_label"]], round(instance["bbox"][2] - instance["bbox"][0]))
        for info in map(data.get_data_info, range(len(data)))
        for instance in info["instances"]
    }


@pytest.mark.parametrize("order", ORDERS)
def test_labels_follow_the_names(tmp_path, order, log):
    path = write_coco(tmp_path / "truth.json", ORDERS[order])
    data = build(path)
    present = [name for name in CLASSES if name in ORDERS[order].values()]
    assert names_by_size(data) == {(name, SIDES[name]) for name in present}
    said = [line for line in log if path in line]
    assert said == {
        "one class less": [f"{path} has no annotation of 'cat'"],
        "one category more": [f"2 annotations of {path} are not used: 'horse' are no classes here"],
    }.get(order, [])


def test_mmdet_alone_swaps_them(tmp_path):
    """If this fails, mmdet has learnt it, and our subclass may go."""
    path = write_coco(tmp_path / "truth.json", ORDERS["other ids"])
    assert ("cat", SIDES["cow"]) in names_by_size(build(path, "CocoDataset"))


@pytest.mark.parametrize("order", ORDERS)
def test_scores_follow_the_names(tmp_path, order):
    """Cats and dogs are found, cows are called cats: the scores of each class, and COCO's mean over those there are."""
    path = write_coco(tmp_path / "truth.json", ORDERS[order])
    metric = METRICS.build(dict(type="poa_bench.NamedCocoMetric", ann_file=path, classwise=True))
    metric.dataset_meta = dict(classes=CLASSES)
    data = build(path)
    for info in map(data.get_data_info, range(len(data))):
        boxes = torch.tensor([instance["bbox"] for instance in info["instances"]])
        labels = torch.tensor([instance["bbox_label"] for instance in info["instances"]])
        cows = labels == CLASSES.index("cow")
        found = dict(bboxes=boxes, labels=labels.masked_fill(cows, 0), scores=1 - 0.5 * cows.float())
        sample = dict(pred_instances=found, img_id=info["img_id"], ori_shape=(info["height"], info["width"]))
        metric.process({}, [sample])
    scores = metric.evaluate(len(data))
    expected = {"cat": 1, "dog": 1, "cow": 0}
    expected = {name: score for name, score in expected.items() if name in ORDERS[order].values()}
    assert {name: scores[f"coco/{name}_precision"] for name in expected} == expected
    assert scores["coco/bbox_mAP"] == pytest.approx(np.mean([*expected.values()]), abs=1e-3)


def test_predictions_of_an_absent_class_go_with_their_masks(tmp_path):
    path = write_coco(tmp_path / "truth.json", ORDERS["one class less"])
    metric = METRICS.build(dict(type="poa_bench.NamedCocoMetric", ann_file=path))
    metric.dataset_meta = dict(classes=CLASSES)
    found = dict(labels=np.array([0, 2, 1]), bboxes=np.eye(3, 4), scores=np.array([0.5, 0.25, 0.75]))
    masks = [dict(counts=name, size=[2, 2]) for name in ("a", "b", "c")]
    files = metric.results2json([dict(img_id=1, masks=masks, **found)], str(tmp_path / "found"))
    rows = json.loads(Path(files["segm"]).read_text())
    assert [(row["category_id"], row["score"], row["segmentation"]["counts"]) for row in rows] == [
        (2, 0.25, "b"),
        (1, 0.75, "c"),
    ]


def test_files_without_what_is_needed_are_one_sentence(tmp_path):
    path = write_coco(tmp_path / "truth.json", {1: "cat", 2: "cat"}, annotated=())
    with pytest.raises(InputError, match="has 'cat' more than once"):
        build(path)
    path = write_coco(tmp_path / "truth.json", {1: "helmet"}, annotated=())
    with pytest.raises(InputError, match="has the categories 'helmet', none of the config's classes 'cat', 'dog'"):
        build(path)
    (tmp_path / "truth.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(InputError, match="has no `categories`"):
        build(path)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_file_without_one_of_its_parts_is_refused(tmp_path, key):
    path = tmp_path / "truth.json"
    write_coco(path, ORDERS["as the classes"])
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"has no `{key}`"):
        build(str(path))
