"""check-data on label maps: their values, sizes and way through the pipeline to the metric."""

import numpy as np
import pytest

from poa_bench.checks import sample as check_sample
from poa_bench.checks.check import check_config
from tests.datasets.dense_data import HEIGHT, WIDTH, Segmentation, picture

pytest.importorskip("mmseg", reason="needs the dense extra")
WHOLE = np.indices((HEIGHT, WIDTH))[0] * 3 // HEIGHT  # all three classes


@pytest.fixture
def data(tmp_path):
    return Segmentation(tmp_path)


def problems(data: Segmentation, **options) -> list[str]:
    return [problem for row in check_config(data.config(), **options) for problem in row.problems]


def only_problem(data: Segmentation) -> str:
    found = problems(data)
    assert len(found) == 1, found
    return found[0]


def test_whole_data(data):
    train, val = check_config(data.config())
    assert train.problems == val.problems == []
    assert (train.pictures, train.read, train.classes, sorted(train.seen)) == (3, 3, 3, [0, 1, 2])
    assert (train.fine["batches of"], val.fine["metric on the truth"]) == ("2 of 2", "100 % on 3 pictures")


def test_label_rule_of_semantic_maps(data):
    """Three classes: files hold 0, 1, 2, or with reduce_zero_label 0 (ignored), 1, 2, 3; 255 is ignored in both."""
    dataset = data.options["train_dataloader"]["dataset"]
    for i in range(3):
        data.write_map("train", i, WHOLE + 1)
    problem = problems(data)[0]
    assert "train0.png has the values [3]; allowed are 0 to 2 and 255 (ignored)" in problem
    assert "set reduce_zero_label=True" in problem
    dataset["reduce_zero_label"] = True
    assert problems(data) == []
    data.write_map("train", 0, np.where(WHOLE == 0, 255, WHOLE + 1))
    assert problems(data) == []
    data.write_map("train", 0, WHOLE + 2)
    assert "has the values [4]; allowed are 0 to 3 and 255" in only_problem(data)


def test_a_wrong_value_after_every_class_was_seen(data, monkeypatch):
    """The value 7 of three classes, in the last map but one: of a large set only `--all` is sure to find it."""
    data.write_map("train", 1, np.where(WHOLE == 1, 7, WHOLE))
    assert "train1.png has the values [7]; allowed are 0 to 2" in only_problem(data)
    monkeypatch.setattr(check_sample, "SAMPLE", 2)
    row = check_config(data.config())[0]
    assert (row.problems, row.read, row.pictures) == ([], 2, 3)
    assert "train1.png has the values [7]" in problems(data, every_picture=True)[0]


def test_a_picture_with_another_ending(data):
    """mmseg looks for `.jpg`, and a camera wrote `.JPG`: it would train on two pictures of three, without a word."""
    images = data.folder / "images/train"
    (images / "train1.jpg").rename(images / "train1.JPG")
    picture(images / "unlabelled.jpeg")
    (images / "Thumbs.db").write_bytes(b"")
    train, _ = check_config(data.config())
    assert train.pictures == 2 and "left out: 1 that do not end in .jpg and have no label map" in train.notes[0]
    (problem,) = train.problems
    assert (
        "pictures with label maps do not end in '.jpg', and mmseg leaves them out without a word: 'train1.JPG'"
        in problem
    )
    (images / "train1.JPG").rename(images / "train1.png")
    assert "'train1.png'; let all names end alike (case counts), or set img_suffix" in only_problem(data)
    for name in ("train0", "train2"):
        (images / f"{name}.jpg").rename(images / f"{name}.JPEG")
    assert "'train0.JPEG', 'train1.png', 'train2.JPEG'; let all" in only_problem(data)


def test_kinds_of_maps(data):
    data.write_map("train", 0, np.zeros((HEIGHT, WIDTH, 3)))
    assert "train0.png has 3 channels; store one class number per pixel" in only_problem(data)
    data.write_map("train", 0, np.zeros((4, 2)))
    assert f"train0.png is 2x4, its picture {WIDTH}x{HEIGHT} as training loads it; make" in only_problem(data)
    path = data.folder / "maps/train/train0.png"
    path.write_bytes(path.read_bytes()[:40])
    assert "LoadAnnotations fails on 1 of 3 pictures, e.g. " in only_problem(data)
    path.unlink()
    assert "1 of 6 files are missing, e.g. " in only_problem(data)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_photograph_turned_by_its_exif_tag(data, split):
    """mmcv turns the photograph, nobody turns its label map."""
    picture(data.folder / f"images/{split}/{split}0.jpg", orientation=6)
    assert f"{split}0.png is 32x24, its picture 24x32 as training loads it" in only_problem(data)


def test_mistakes_in_the_pipeline(data):
    train, val = (data.options[f"{split}_dataloader"]["dataset"] for split in ("train", "val"))
    load, annotations, resize, pack = train["pipeline"]
    train["pipeline"] = [load, resize, annotations, pack]  # as in val
    assert "its pipeline makes label maps of (24, 32) where pictures are (48, 64)" in only_problem(data)
    train["pipeline"] = [load, resize, pack]
    assert "train0.png is not loaded by the pipeline; add LoadAnnotations" in problems(data)[0]
    train["pipeline"], val["pipeline"] = [load, annotations, resize, pack], [load, annotations, resize, pack]
    assert "the label map is 64x48 after the pipeline, predictions have the picture's 32x24" in only_problem(data)
    val["pipeline"] = [load, resize, pack]
    assert "the pipeline hands no label map to the metric: add LoadAnnotations" in only_problem(data)


def test_classes_of_train_and_val_in_another_order(data):
    """A perfect network of train's numbers calls ground what val calls sky; the wall in the middle is right."""
    data.options["val_dataloader"]["dataset"]["metainfo"]["classes"] = ("sky", "wall", "ground")
    train, val = check_config(data.config())
    assert train.problems == []
    assert "'sky' is label 0 and in train_dataloader.dataset label 2: what the network learns as one" in val.problems[0]
    assert val.fine["metric on the truth"].startswith("aAcc 34.38 %")  # 11 of 32 columns


def test_heads_have_another_number_of_classes(data):
    data.options["model"]["decode_head"]["num_classes"] = 4
    assert "it has 3 classes, a head of the model 4" in problems(data)[0]


def test_every_data_set_inside_wrappers(data):
    inside = data.options["train_dataloader"]["dataset"]
    pieces = dict(type="ConcatDataset", datasets=[dict(type="RepeatDataset", times=2, dataset=inside), inside])
    data.options["train_dataloader"]["dataset"] = pieces
    rows = check_config(data.config())
    assert [row.where for row in rows[:2]] == [
        "train_dataloader.dataset.datasets.dataset",
        "train_dataloader.dataset.datasets",
    ]
    assert [row.problems for row in rows] == [[], [], []] and rows[0].fine["batches of"] == "5 of 2"
