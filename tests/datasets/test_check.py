"""check-data on whole and on broken data sets: each fault is found and named with what to do."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from poa_bench.cli import main
from poa_bench.datasets.check import check_config
from poa_bench.errors import InputError

pytest.importorskip("mmdet", reason="needs the dense extra")
pytest.importorskip("mmseg", reason="needs the dense extra")


@pytest.fixture
def detection(tmp_path):
    """Two pictures of 8x6 pixels with a cat and a dog; returns (COCO dict, function to check it)."""
    (tmp_path / "images").mkdir()
    coco = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]}
    for i, category in enumerate((3, 7), 1):
        Image.new("RGB", (8, 6)).save(tmp_path / f"images/{i}.jpg")
        coco["images"].append({"id": i, "file_name": f"{i}.jpg", "width": 8, "height": 6})
        box = {"bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
        coco["annotations"].append({"id": i, "image_id": i, "category_id": category, **box})

    def check(classes=("cat", "dog"), every_picture=False):
        (tmp_path / "truth.json").write_text(json.dumps(coco))
        dataset = dict(type="CocoDataset", data_root=str(tmp_path), ann_file="truth.json")
        dataset |= dict(data_prefix=dict(img="images/"), metainfo=dict(classes=classes))
        return check_config(Config(dict(default_scope="mmdet", train_dataloader=dict(dataset=dataset))), every_picture)[
            0
        ]

    return coco, check, tmp_path


def test_whole_detection_data(detection):
    _, check, folder = detection
    row = check()
    assert (row.problems, row.pictures, row.annotations, row.classes) == ([], 2, 2, 2)
    assert row.seen == {0: f"{folder}/images/1.jpg", 1: f"{folder}/images/2.jpg"}


def test_broken_detection_data(detection):
    coco, check, folder = detection
    coco["annotations"][0]["category_id"] = 4
    assert "category ids [4], which are not in `categories`; correct the file" in check().problems[0]
    coco["annotations"][0].update(category_id=3, image_id=9)
    assert "1 annotations belong to no image, e.g. 1" in check().problems[0]
    coco["annotations"][0].update(image_id=1, bbox=[20, 20, 4, 4])
    assert check().notes[0].startswith("1 annotations not used")
    coco["annotations"][0].update(bbox=[1, 1, 4, 4])
    coco["images"][0]["width"] = 9
    assert "1.jpg is 8x6, the file says 9x6" in check().problems[0]
    coco["images"][0]["width"] = 8
    assert (
        "1 classes of the config are not among the file's categories, e.g. 'cow'" in check(("cow", "dog")).problems[0]
    )
    (folder / "images/2.jpg").write_bytes((folder / "images/2.jpg").read_bytes()[:200])
    assert "2.jpg cannot be decoded" in check().problems[0]
    (folder / "images/2.jpg").unlink()
    assert "1 of 2 files are missing, e.g. " in check().problems[0]
    (folder / "truth.json").unlink()
    coco.clear()
    assert "cannot be read (KeyError" in check().problems[0]


@pytest.fixture
def segmentation(tmp_path):
    """One picture of 2x2 pixels with a label map; returns a function to check it."""
    for kind in ("images", "maps"):
        (tmp_path / kind).mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "images/x.jpg")

    def check(values, reduce_zero_label, classes=("wall", "sky")):
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / "maps/x.png")
        dataset = dict(type="BaseSegDataset", data_root=str(tmp_path), reduce_zero_label=reduce_zero_label)
        dataset |= dict(data_prefix=dict(img_path="images", seg_map_path="maps"), metainfo=dict(classes=classes))
        wrapped = dict(type="RepeatDataset", times=2, dataset=dataset)
        return check_config(Config(dict(default_scope="mmseg", train_dataloader=dict(dataset=wrapped))))[0]

    return check


def test_label_rule_of_semantic_maps(segmentation):
    """Two classes: with reduce_zero_label the files hold 0 (ignored), 1, 2; without it 0, 1; 255 is ignored in both."""
    row = segmentation([[0, 1], [2, 255]], True)
    assert (row.problems, sorted(row.seen), row.where) == ([], [0, 1], "train_dataloader.dataset.dataset")
    assert segmentation([[0, 1], [1, 255]], False).problems == []
    assert segmentation([[0, 1], [1, 255]], True).notes == ["1 of 2 classes not seen"]
    problem = segmentation([[0, 1], [2, 255]], False).problems[0]
    assert "x.png has the values [2]; allowed are 0 to 1 and 255 (ignored)" in problem
    assert "set reduce_zero_label=True" in problem
    assert "has the values [3]; allowed are 0 to 2 and 255" in segmentation([[0, 3], [2, 255]], True).problems[0]


def test_wrong_kinds_of_semantic_maps(segmentation):
    assert "has 3 channels; store one class number per pixel" in segmentation(np.zeros((2, 2, 3)), False).problems[0]
    assert "make them the same size" in segmentation(np.zeros((4, 2)), False).problems[0]


def test_labelled_pictures(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    dataset = dict(type="poa_bench.Images", path=str(tmp_path))
    config = Config(dict(train_dataloader=dict(dataset=dataset), val_dataloader=dict(dataset=dataset)))
    rows = check_config(config)  # the same data set is checked once
    assert [(row.problems, row.pictures, len(row.seen)) for row in rows] == [([], 2, 2)]
    (tmp_path / "dog/1.png").write_bytes(b"not a picture")
    assert "dog/1.png cannot be read" in check_config(config)[0].problems[0]
    (tmp_path / "list.txt").write_text("cat/1.png 0\ncat/2.png 0\n")
    listed = dict(type="poa_bench.Images", path=str(tmp_path), ann_file=str(tmp_path / "list.txt"))
    row = check_config(Config(dict(train_dataloader=dict(dataset=listed))))[0]
    assert "1 of 2 files are missing, e.g. " in row.problems[0] and "cat/2.png" in row.problems[0]
    dataset["path"] = str(tmp_path / "nowhere")
    config = Config(dict(train_dataloader=dict(dataset=dataset)))
    assert (
        "nowhere does not exist; put the data there, or set train_dataloader.dataset.path"
        in (check_config(config)[0].problems[0])
    )


def test_every_picture_is_decoded_if_wanted(tmp_path, detection):
    """The broken one is not the first of its class, which is all that is decoded else."""
    (tmp_path / "cat").mkdir()
    for i in range(40):
        Image.new("RGB", (40, 40), (i, 0, 0)).save(tmp_path / f"cat/{i:02}.jpg")
    for i in (3, 31):
        path = tmp_path / f"cat/{i:02}.jpg"
        path.write_bytes(path.read_bytes()[:-40])
    config = Config(dict(train_dataloader=dict(dataset=dict(type="poa_bench.Images", path=str(tmp_path)))))
    assert check_config(config)[0].problems == []
    problems = check_config(config, every_picture=True)[0].problems
    assert ["cat/03.jpg" in problems[0], "cat/31.jpg" in problems[1], len(problems)] == [True, True, 2]
    assert problems[0].endswith("replace the file or leave it out")

    coco, check, folder = detection
    second = {"id": 3, "file_name": "3.jpg", "width": 8, "height": 6}  # another cat, found whole after the first one
    coco["images"].append(second)
    coco["annotations"].append({**coco["annotations"][0], "id": 3, "image_id": 3})
    (folder / "images/3.jpg").write_bytes((folder / "images/1.jpg").read_bytes()[:200])
    assert check().problems == []
    assert "3.jpg cannot be decoded" in check(every_picture=True).problems[0]


def test_command_prints_a_table_or_the_problems(tmp_path, capsys):
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "cat/1.png")
    config = tmp_path / "own.py"
    config.write_text(f"train_dataloader = dict(dataset=dict(type='poa_bench.Images', path={str(tmp_path)!r}))")
    assert main(["check-data", str(config)]) == 0
    assert "1/1" in capsys.readouterr().out
    assert main(["check-data", str(config), "--cfg-options", "train_dataloader.dataset.path=/nowhere"]) == 2
    assert capsys.readouterr().err.startswith("poa-bench check-data: train_dataloader.dataset: path /nowhere does not")


def test_a_config_without_data_is_refused():
    with pytest.raises(InputError, match="has none of train_dataloader"):
        check_config(Config(dict(model=dict())))
