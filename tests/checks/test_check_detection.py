"""check-data on COCO data: what stops or misleads mmdet is found before the training."""

import json
import zipfile

import pytest

from poa_bench.checks import sample as check_sample
from poa_bench.checks import truth as check_truth
from poa_bench.checks.check import check_config
from tests.datasets.dense_data import Detection, picture

pytest.importorskip("mmdet", reason="needs the dense extra")
COCO_MINI = "annotations/instances_{}_super12.json"


@pytest.fixture
def data(tmp_path):
    return Detection(tmp_path)


def problems(data: Detection, **options) -> list[str]:
    return [problem for row in check_config(data.config(), **options) for problem in row.problems]


def only_problem(data: Detection) -> str:
    found = problems(data)
    assert len(found) == 1, found
    return found[0]


def test_whole_data(data):
    train, val = check_config(data.config())
    assert train.problems == val.problems == []
    assert (train.pictures, train.read, train.annotations, train.classes) == (3, 3, 3, 2)
    assert train.seen == {0: f"{data.folder}/train/train1.jpg", 1: f"{data.folder}/train/train2.jpg"}
    assert train.fine == {
        "files": "fine",
        "annotation file": "fine",
        "classes": "fine",
        "decoded": "fine",
        "pipeline": "fine",
        "batches of": "2 of 2",
    }
    assert val.fine["metric on the truth"] == "100 % on 3 pictures"
    assert val.fine["apart from other splits"] == "fine"


def test_a_photograph_turned_by_its_exif_tag(data):
    """mmcv loads a 32x24 file with orientation 6 as 24x32: the file must say so."""
    picture(data.folder / "train/train1.jpg", orientation=6)
    assert "train1.jpg is 24x32 as training loads it" in only_problem(data)
    data.coco["train"]["images"][0].update(width=24, height=32)
    assert problems(data) == []
    data.options["train_dataloader"]["dataset"]["pipeline"][0].update(color_type="color_ignore_orientation")
    assert "train1.jpg is 32x24" in only_problem(data)


def test_annotation_files(data):
    annotations = data.coco["train"]["annotations"]
    annotations[0]["category_id"] = 4
    assert "category ids [4], which are not in `categories`; correct the file" in only_problem(data)
    annotations[0].update(category_id=3, image_id=9)
    assert "1 annotations belong to no image, e.g. 1" in only_problem(data)
    annotations[0].update(image_id=1, bbox=[60, 60, 4, 4])
    assert check_config(data.config())[0].notes[0].startswith("1 annotations not used")
    annotations[0].update(bbox=[3, 3, 50, 10])
    assert check_config(data.config())[0].notes == [
        f"1 boxes reach beyond their picture, e.g. in {data.folder}/train/train1.jpg"
    ]
    del annotations[0]["area"]
    assert "1 of 3 annotations in " in only_problem(data) and "no `area`, which mmdet needs" in only_problem(data)
    del data.coco["train"]["annotations"]
    assert "has no list `annotations`; a COCO file has images, annotations, categories" in only_problem(data)


def test_missing_and_broken_files(data):
    first, second = data.folder / "train/train1.jpg", data.folder / "train/train2.jpg"
    second.write_bytes(second.read_bytes()[:200])
    assert "train2.jpg cannot be decoded" in only_problem(data)
    second.unlink()
    assert f"1 of 3 files are missing, e.g. {second}" in only_problem(data)
    config = data.config()
    first.with_name("train3.jpg").unlink()
    (data.folder / "train.json").unlink()
    assert "ann_file" in check_config(config)[0].problems[0]


def test_classes(data):
    data.options["train_dataloader"]["dataset"]["metainfo"]["classes"] = ("cow", "dog")
    found = problems(data)
    assert "1 classes of the config are not among the file's categories, e.g. 'cow'" in found[0]
    assert "1 of its classes are not in train_dataloader.dataset: cat" in found[1]
    for loader in ("train_dataloader", "val_dataloader"):
        data.options[loader]["dataset"]["metainfo"]["classes"] = ("dog",)
    assert "it has 1 classes, a head of the model 2; set its num_classes to 1" in problems(data)[0]
    data.options["model"]["roi_head"] = dict(bbox_head=dict(num_classes=1))
    train, val = check_config(data.config())
    assert train.problems == val.problems == []  # a part of the categories is allowed, and said
    assert train.notes == [
        "annotated categories are not in metainfo.classes: cat",
        "2 annotations not used (empty, outside, of other classes or of filtered pictures)",
    ]


def follow_names(data: Detection) -> None:
    """Take the data sets and the metric that number categories by the names of the classes."""
    data.options["val_evaluator"]["type"] = "poa_bench.NamedCocoMetric"
    for loader in ("train_dataloader", "val_dataloader"):
        data.options[loader]["dataset"]["type"] = "poa_bench.NamedCocoDataset"


def test_categories_of_train_and_val_in_another_order(data):
    """mmdet numbers categories by their order in each file: a perfect network would call every cat a dog."""
    data.coco["val"]["categories"].reverse()
    train, val = check_config(data.config())
    assert train.problems == []
    assert "'cat' is label 1, as numbered in the order of the file's categories, and 0 in meta" in val.problems[0]
    assert "'dog' is label 0 and in train_dataloader.dataset label 1" in val.problems[1]
    assert val.fine["metric on the truth"].startswith("coco/bbox_mAP 0 %")
    follow_names(data)
    train, val = check_config(data.config())
    assert train.problems == val.problems == [] and val.fine["metric on the truth"] == "100 % on 3 pictures"


def test_a_file_without_the_first_class(data):
    """mmdet counts on from the classes that the file has: the second becomes the first."""
    val = data.coco["val"]
    val["categories"] = val["categories"][1:]
    val["annotations"] = [annotation for annotation in val["annotations"] if annotation["category_id"] == 7]
    assert "1 classes of the config are not among the file's categories, e.g. 'cat'" in problems(data)[0]
    follow_names(data)
    row = check_config(data.config())[1]
    assert (row.problems, row.notes[0]) == ([], "1 classes are not among the file's categories: cat")
    assert row.fine["metric on the truth"] == "100 % on 3 pictures"


def test_no_iscrowd_is_found_before_the_training(data):
    """pycocotools reads it of the metric's file alone, after the training: KeyError."""
    del data.coco["train"]["annotations"][1]["iscrowd"]
    assert problems(data) == []
    del data.coco["val"]["annotations"][1]["iscrowd"]
    assert "1 of 3 annotations in " in only_problem(data) and "have no `iscrowd`" in only_problem(data)


def test_boxes_without_masks(data):
    data.coco["train"]["annotations"][1]["segmentation"] = []
    needed = "1 of 3 annotations have no mask (`segmentation`), and LoadAnnotations(with_mask=True) needs one"
    assert needed in only_problem(data)
    data.options["train_dataloader"]["dataset"]["pipeline"][1]["with_mask"] = False
    found = problems(data)
    assert "1 of 3 annotations have no mask (`segmentation`), and the mask head needs one" in found[0]
    assert "its pipeline hands no masks to the model; add with_mask=True to LoadAnnotations" in found[1]
    del data.options["model"]["roi_head"]["mask_head"]
    assert problems(data) == []
    del data.coco["val"]["annotations"][0]["segmentation"]
    found = problems(data)
    assert len(found) == 1
    assert "1 of 3 annotations have no mask (`segmentation`), and the metric `segm` needs one" in found[0]
    data.options["val_evaluator"]["metric"] = "bbox"
    assert problems(data) == []


def test_masks_of_too_few_points(data):
    data.coco["train"]["annotations"][0]["segmentation"] = [[1, 1, 5, 5]]
    assert "1 masks have no polygon of three or more points" in only_problem(data)


def test_objects_that_training_drops_and_the_metric_counts(data):
    """A box of half a pixel: mmdet leaves it out, pycocotools wants it found.

    One of two cats is found: 51 of COCO's 101 recall points, and of the two classes (51 / 101 + 1) / 2 = 75.2 %.
    """
    data.coco["val"]["annotations"][0].update(bbox=[3, 3, 0.5, 0.5])
    assert "a perfect network gets coco/bbox_mAP 75.2 %, not 100" in only_problem(data)


def test_the_metric_of_another_annotation_file(data):
    for image in data.coco["val"]["images"]:
        image["id"] += 100
    for annotation in data.coco["val"]["annotations"]:
        annotation["image_id"] += 100
    data.options["val_evaluator"]["ann_file"] = str(data.folder / "train.json")
    assert "the evaluator stops on the truth (AssertionError: Results do not correspond" in only_problem(data)


def test_more_objects_than_the_metric_looks_at(data, monkeypatch):
    monkeypatch.setattr(check_truth, "MOST_OBJECTS", 1)
    second = {**data.coco["val"]["annotations"][0], "id": 9}
    data.coco["val"]["annotations"].append(second)
    val = check_config(data.config())[1]
    assert (val.problems, val.fine["metric on the truth"]) == ([], "100 % on 2 pictures")
    assert val.notes == ["1 pictures with more than 1 objects: the metric looks at no more"]


def test_pictures_that_the_pipeline_leaves_out(data):
    pipeline = data.options["train_dataloader"]["dataset"]["pipeline"]
    pipeline.insert(2, dict(type="FilterAnnotations", min_gt_bbox_wh=(11, 11), keep_empty=True))
    assert "FilterAnnotations leaves out every picture" in only_problem(data)
    data.coco["train"]["annotations"][0]["bbox"] = [3, 3, 12, 12]
    train = check_config(data.config())[0]
    assert (train.problems, train.notes) == ([], ["FilterAnnotations leaves out 2 of 3 pictures"])


def test_mistakes_in_the_pipeline(data):
    dataset = data.options["train_dataloader"]["dataset"]
    load, annotations, resize, pack = dataset["pipeline"]
    for steps, said in (
        ([load, annotations, pack, resize], "Resize fails on 3 of 3 pictures, e.g. "),
        ([load, annotations, resize], "its pipeline hands nothing to a model; let it end with PackDetInputs"),
        ([annotations, pack], "LoadAnnotations fails on 3 of 3 pictures, e.g. "),
        ([pack], "its pipeline loads no picture; let it begin with LoadImageFromFile"),
        ([load, resize, pack], "its pipeline hands no boxes to the model; add LoadAnnotations"),
        ([load, annotations, dict(type="Reszie"), pack], "cannot be read (KeyError: 'Reszie is not in the mmdet"),
    ):
        dataset["pipeline"] = steps
        assert said in problems(data)[0]


def test_the_metric_needs_the_picture_number(data):
    """Without `img_id` among the meta keys mmdet's metric stops after the training."""
    data.options["val_dataloader"]["dataset"]["pipeline"][-1]["meta_keys"] = ("ori_shape",)
    assert "metric on the truth fails on 3 of 3 pictures" in only_problem(data) and "img_id" in only_problem(data)


def test_a_test_split_without_truth_is_no_problem(data):
    data.options["test_dataloader"] = {**data.options["val_dataloader"], "batch_size": 1}
    data.options["test_evaluator"] = {**data.options["val_evaluator"], "format_only": True, "outfile_prefix": "x"}
    test = check_config(data.config())[2]
    assert (test.problems, "metric on the truth" in test.fine) == ([], False)
    assert test.notes == ["the same pictures as val_dataloader.dataset: nothing may be chosen on them"]


def test_real_photographs(shared_data, tmp_path, monkeypatch):
    """COCO's own files with crowds, polygons and run lengths: the metric gives 100 % for its truth."""
    with zipfile.ZipFile(shared_data("det_coco_mini/coco_mini.zip")) as archive:
        archive.extractall(tmp_path)
    monkeypatch.setattr(check_sample, "SAMPLE", 25)
    data = Detection(tmp_path / "made")
    classes = [one["name"] for one in json.loads((tmp_path / COCO_MINI.format("val")).read_text())["categories"]]
    for split in ("train", "val"):
        dataset = dict(data_root=str(tmp_path), ann_file=COCO_MINI.format(split), data_prefix=dict(img="images/"))
        data.options[f"{split}_dataloader"]["dataset"] |= dataset | dict(metainfo=dict(classes=classes))
    data.options["val_evaluator"]["ann_file"] = str(tmp_path / COCO_MINI.format("val"))
    del data.options["model"]["roi_head"]
    train, val = check_config(data.config())
    assert train.problems == val.problems == [] and val.fine["metric on the truth"].startswith("100 %")
    assert (val.pictures, val.annotations, val.fine["apart from other splits"]) == (73, 554, "fine")
