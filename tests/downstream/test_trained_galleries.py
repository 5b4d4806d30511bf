"""Pictures of trained models: truth from a hand-made COCO file and label map, drawn as the evaluation passes by."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmdet")
pytest.importorskip("mmseg")

from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from poa_bench.downstream import drawing, trained_galleries
from poa_bench.downstream.drawing import Objects, with_label_map, with_objects
from poa_bench.downstream.trained_galleries import MOST, PassingPictures, true_objects
from poa_bench.runs.galleries import MISSING, handful

SIDE = drawing.SIDE  # so that nothing is scaled
COUNT = 10
CLASSES = ("cat", "<i>dog</i>")
PALETTE = [(220, 20, 60), (20, 60, 220)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grey pictures; in picture p a cat (polygon), a dog (run lengths) and a crowd of dogs, or nothing in picture 3."""
    root = tmp_path_factory.mktemp("coco")
    images, annotations = [], []
    for place in range(COUNT):
        Image.new("RGB", (SIDE, SIDE), (100, 100, 100)).save(root / f"{place}.png")
        labels = np.full((SIDE, SIDE), 255, np.uint8)
        labels[10:50, 10:60] = 0
        labels[60:100, 60:100] = 1
        Image.fromarray(labels).save(root / f"{place}_map.png")
        images.append({"id": place, "file_name": f"{place}.png", "width": SIDE, "height": SIDE})
        if place == 3:
            continue
        square = np.zeros((SIDE, SIDE), np.uint8)
        square[60:100, 60:100] = 1
        flat = square.T.flatten()
        runs = np.diff(np.flatnonzero(np.diff(flat, prepend=2, append=2))).tolist()
        polygon = [[10, 10, 60, 10, 60, 50, 10, 50]]
        for label, box, mask, crowd in (
            (1, [10, 10, 50, 40], polygon, 0),
            (2, [60, 60, 40, 40], {"counts": runs, "size": [SIDE, SIDE]}, 0),
            (2, [0, 0, 140, 140], {"counts": [0, SIDE * SIDE], "size": [SIDE, SIDE]}, 1),
        ):
            about = {"image_id": place, "category_id": label, "bbox": box, "area": 100, "iscrowd": crowd}
            annotations.append({**about, "segmentation": mask, "id": len(annotations) + 1})
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CLASSES)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (root / "objects.json").write_text(text)
    return root


@pytest.fixture(scope="module")
def objects(folder):
    return CocoDataset(
        ann_file=str(folder / "objects.json"),
        data_prefix={"img": f"{folder}/"},
        metainfo={"classes": CLASSES, "palette": PALETTE},
        pipeline=[],
        test_mode=True,
    )


def detected(dataset, place, count=2):
    """What a detector says of picture `place`: a cat for sure, dogs less and less, in any order."""
    boxes = torch.tensor([[30.0 + 2 * number, 30, 90 + 2 * number, 80] for number in range(count)])
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    masks[:, 30:81, 30:91] = True
    scores = torch.linspace(0.9, 0.31, count) if count != 2 else torch.tensor([0.9, 0.2])
    order = torch.arange(count).flip(0)
    found = InstanceData(bboxes=boxes, labels=(torch.arange(count) > 0).long(), scores=scores, masks=masks)[order]
    info = dataset.get_data_info(place)
    return DetDataSample(metainfo={"img_path": info["img_path"]}, pred_instances=found)


def pixels(picture):
    with Image.open(io.BytesIO(picture.data)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def alike(picture, expected):
    """Whether a picture is the expected one, but for what WebP changes of thin lines."""
    difference = (pixels(picture).int() - expected.int()).abs()
    return difference.float().mean() < 4


def test_truth_is_that_of_the_annotation_file_without_crowds(objects):
    found = true_objects(objects.get_data_info(0), (SIDE, SIDE))
    assert found.boxes.tolist() == [[10, 10, 60, 50], [60, 60, 100, 100]] and found.labels.tolist() == [0, 1]
    expected = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    expected[0, 10:50, 10:60] = True
    expected[1, 60:100, 60:100] = True
    assert torch.equal(found.masks, expected)
    assert true_objects(objects.get_data_info(3), (SIDE, SIDE)).boxes.shape == (0, 4)


def test_a_handful_is_drawn_while_all_samples_pass_by(objects):
    passing = PassingPictures(objects)
    for place in reversed(range(COUNT)):  # the order does not matter, as with several processes
        passing.see([detected(objects, place)])
    (gallery,) = passing.galleries()
    assert [row.name for row in gallery.rows] == [f"{place}: {place}.png" for place in handful(COUNT)]
    grey = torch.full((3, SIDE, SIDE), 100, dtype=torch.uint8)
    first = gallery.rows[0]
    truth = true_objects(objects.get_data_info(1), (SIDE, SIDE))
    assert alike(first.truth, with_objects(grey, truth, PALETTE))
    assert not alike(first.truth, grey) and first.truth.caption == "cat, <i>dog</i>"
    sure = Objects(torch.tensor([[30.0, 30, 90, 80]]), torch.tensor([0]), detected(objects, 1).pred_instances.masks[:1])
    assert alike(first.found, with_objects(grey, sure, PALETTE)) and first.found.caption == "cat 0.90"
    assert first.found.legend == {"cat": "#dc143c"} and first.truth.legend == {
        "cat": "#dc143c",
        "<i>dog</i>": "#143cdc",
    }
    empty = gallery.rows[handful(COUNT).index(3)]
    assert alike(empty.truth, grey) and empty.truth.caption == "no object" and not passing.facts


def test_the_surest_are_drawn_and_what_is_not_sure_is_said(objects):
    passing = PassingPictures(objects)
    passing.see([detected(objects, 1, count=MOST + 5)])
    unsure = detected(objects, 3)
    unsure.pred_instances.scores *= 0.1
    passing.see([unsure])
    first, second = passing.galleries()[0].rows
    assert first.found.caption == f"cat 0.90, <i>dog</i> 0.86, <i>dog</i> 0.82, {MOST - 3} more"
    assert second.found.caption == "nothing above 0.3"


def test_label_maps_show_truth_and_prediction_in_the_same_colours(folder):
    class Maps(list):
        metainfo = {"classes": CLASSES, "palette": PALETTE}

        def get_data_info(self, place):
            return {"img_path": self[place]}

    true = torch.from_numpy(np.array(Image.open(folder / "1_map.png"))).long()
    found = torch.zeros(SIDE, SIDE, dtype=torch.long)
    passing = PassingPictures(Maps(str(folder / f"{place}.png") for place in range(COUNT)))
    data = {"gt_sem_seg": PixelData(data=true[None]), "pred_sem_seg": PixelData(data=found[None])}
    passing.see([SegDataSample(metainfo={"img_path": str(folder / "1.png")}, **data)])
    ((row,),) = (gallery.rows for gallery in passing.galleries())
    grey = torch.full((3, SIDE, SIDE), 100, dtype=torch.uint8)
    assert alike(row.truth, with_label_map(grey, true, PALETTE)) and not alike(row.truth, grey)
    assert alike(row.found, with_label_map(grey, found, PALETTE)) and not alike(row.found, pixels(row.truth))
    assert row.found.legend == {"cat": "#dc143c"} and list(row.truth.legend) == list(CLASSES)


def test_what_cannot_be_drawn_is_said_and_ends_nothing(objects, monkeypatch):
    passing = PassingPictures(objects)
    sample = detected(objects, 1)
    del sample.pred_instances.bboxes
    passing.see([sample, detected(objects, 3), object()])
    assert [row.name for row in passing.galleries()[0].rows] == ["3: 3.png"]
    assert "bboxes" in passing.facts[MISSING]
    assert PassingPictures([1, 2, 3]).facts[MISSING].startswith("AttributeError")
    others = [({}, {}), ({"pred_instances": {5: passing.galleries()[0].rows[0]}}, {"a": 1}), (passing._rows, {})]
    monkeypatch.setattr(trained_galleries, "all_gather_object", lambda mine: others)
    assert len(passing.galleries()[0].rows) == 2 and passing.facts["a"] == 1
