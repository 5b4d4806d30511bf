"""Well-known sets on hand-made miniatures of their official layouts, read by the configs that come with the project."""

import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from poa_bench.config_files import evaluation_configs
from poa_bench.datasets.official import CifarImages, ListedImages, ReassessedImages, VocClassification
from poa_bench.downstream.images import EvaluationData
from poa_bench.errors import InputError


def picture(path, value: int) -> None:
    """A grey picture, whose value says which one it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))


def text(path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def aircraft(data):
    root = data / "fgvc-aircraft-2013b/data"
    text(root / "variants.txt", "707-320", "A300B4", "Boeing 717")
    lists = {
        "train": ["0034309 707-320", "0034958 Boeing 717"],
        "val": ["0000001 A300B4"],
        "test": ["0000002 Boeing 717"],
    }
    lists["train"].append("0000003 A300B4")
    for split, lines in lists.items():
        text(root / f"images_variant_{split}.txt", *lines)
        for line in lines:
            picture(root / f"images/{line[:7]}.jpg", int(line[:7]) % 200)
    return {
        "train": [(109, "707-320"), (158, "Boeing 717"), (3, "A300B4")],
        "val": [(1, "A300B4")],
        "test": [(2, "Boeing 717")],
    }


def caltech(data):
    for place in range(31):
        picture(data / f"101_ObjectCategories/ant/image_{place:04d}.jpg", place)
        picture(data / f"101_ObjectCategories/bass/image_{place:04d}.jpg", 100 + place)
    return None


def cars(data):
    root = data / "stanford_cars"
    kinds = np.dtype([(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")])
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array(["AM Hummer", "Audi TT"], object)})
    for name, rows in {
        "devkit/cars_train_annos": [(2, 5), (1, 6)],
        "cars_test_annos_withlabels": [(1, 7), (2, 8)],
    }.items():
        folder = "cars_train" if "train" in name else "cars_test"
        made = np.array([(1, 1, 2, 2, label, f"{value:05d}.jpg") for label, value in rows], kinds)
        savemat(root / f"{name}.mat", {"annotations": made})
        for _, value in rows:
            picture(root / folder / f"{value:05d}.jpg", value)
    return {"train": [(5, "Audi TT"), (6, "AM Hummer")], "test": [(7, "AM Hummer"), (8, "Audi TT")]}


def cifar(data, hundred: bool):
    root = data / ("cifar-100-binary" if hundred else "cifar-10-batches-bin")
    names = ("fine_label_names.txt", ["apple", "bear"]) if hundred else ("batches.meta.txt", ["airplane", "cat"])
    text(root / names[0], *names[1])
    files = ["train.bin", "test.bin"] if hundred else [*[f"data_batch_{n}.bin" for n in range(1, 6)], "test_batch.bin"]
    for place, name in enumerate(files):
        rows = [
            bytes([17, label] if hundred else [label]) + bytes([10 * place + label] * 1024 + [1] * 1024 + [2] * 1024)
            for label in (1, 0)
        ]
        (root / name).write_bytes(b"".join(rows))
    rows = [(10 * place + label, names[1][label]) for place in range(len(files)) for label in (1, 0)]
    return {"train": rows[:-2], "test": rows[-2:]}


def cub(data):
    root = data / "CUB_200_2011"
    files = ["001.Albatross/a.jpg", "001.Albatross/b.jpg", "002.Auklet/c.jpg", "002.Auklet/d.jpg"]
    text(root / "images.txt", *[f"{place} {name}" for place, name in enumerate(files, 1)])
    text(root / "train_test_split.txt", "1 1", "2 0", "3 0", "4 1")
    for place, name in enumerate(files):
        picture(root / "images" / name, 10 * place)
    return {"train": [(0, "001.Albatross"), (30, "002.Auklet")], "test": [(10, "001.Albatross"), (20, "002.Auklet")]}


def dtd(data):
    lists = {"train": ["banded/banded_0002.jpg", "dotted/dotted_0001.jpg"], "val": ["banded/banded_0004.jpg"]}
    lists["test"] = ["dotted/dotted_0006.jpg"]
    for split, lines in lists.items():
        text(data / f"dtd/labels/{split}1.txt", *lines)
        for line in lines:
            picture(data / "dtd/images" / line, int(line[-8:-4]))
    return {"train": [(2, "banded"), (1, "dotted")], "val": [(4, "banded")], "test": [(6, "dotted")]}


def flowers(data):
    root = data / "flowers-102"
    root.mkdir(parents=True)
    savemat(root / "imagelabels.mat", {"labels": np.array([[2, 1, 2, 1, 1]])})
    savemat(root / "setid.mat", {"trnid": np.array([[1, 4]]), "valid": np.array([[5]]), "tstid": np.array([[3, 2]])})
    for number in range(1, 6):
        picture(root / f"jpg/image_{number:05d}.jpg", number)
    return {"train": [(1, "2"), (4, "1")], "val": [(5, "1")], "test": [(3, "2"), (2, "1")]}


def food(data):
    for split, lines in {"train": ["apple_pie/11", "sushi/12"], "test": ["sushi/13"]}.items():
        text(data / f"food-101/meta/{split}.txt", *lines)
        for line in lines:
            picture(data / f"food-101/images/{line}.jpg", int(line[-2:]))
    return {"train": [(11, "apple_pie"), (12, "sushi")], "test": [(13, "sushi")]}


def pets(data):
    root = data / "oxford-iiit-pet"
    for split, lines in {
        "trainval": ["great_pyrenees_10 2 2 1", "Abyssinian_20 1 1 1"],
        "test": ["Abyssinian_30 1 1 1"],
    }.items():
        text(root / f"annotations/{split}.txt", *lines)
        for line in lines:
            name = line.split()[0]
            picture(root / f"images/{name}.jpg", int(name[-2:]))
    return {"train": [(10, "great_pyrenees"), (20, "Abyssinian")], "test": [(30, "Abyssinian")]}


def sun397(data):
    lists = {
        "Training": ["/a/abbey/sun_1.jpg", "/a/apartment_building/outdoor/sun_2.jpg"],
        "Testing": ["/a/abbey/sun_3.jpg"],
    }
    for split, lines in lists.items():
        text(data / f"SUN397/{split}_01.txt", *lines)
        for line in lines:
            picture(data / f"SUN397{line}", int(line[-5]))
    return {"train": [(1, "a/abbey"), (2, "a/apartment_building/outdoor")], "test": [(3, "a/abbey")]}


SETS = {
    "aircraft": aircraft,
    "cars": cars,
    "cifar100": lambda data: cifar(data, True),
    "cifar10-official": lambda data: cifar(data, False),
    "cub": cub,
    "dtd": dtd,
    "flowers": flowers,
    "food": food,
    "pets": pets,
    "sun397": sun397,
}


@pytest.mark.parametrize("name", SETS)
def test_a_set_as_it_is_on_disk(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = SETS[name](tmp_path / "data")
    data = EvaluationData.load(str(evaluation_configs()[name]))
    assert data.name == name and list(data.splits) == list(expected)
    for split, images in data.splits.items():
        names = data.splits["train"].dataset.metainfo["classes"]
        read = [images.read(place) for place in range(len(images))]
        assert [(int(image[0, 4, 4]), names[label]) for image, label, _ in read] == expected[split]


def test_what_sets_are_judged_by():
    """As in DINOv2's table: mean per class for four of them, 11-point mAP for VOC."""
    judged = {
        name: EvaluationData.load(name).metric for name in [*SETS, "voc2007", "caltech101", "caltech101-official"]
    }
    assert {name for name, metric in judged.items() if metric == "balanced_top1"} == {
        *("aircraft", "flowers", "pets", "caltech101", "caltech101-official"),
    }
    assert [name for name, metric in judged.items() if metric == "map11"] == ["voc2007"]
    with pytest.raises(InputError, match="evaluation.metric is 'top2': use one of top1"):
        EvaluationData("made", {}, {}, metric="top2")


def test_thirty_of_each_class_and_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    caltech(tmp_path / "data")
    splits = EvaluationData.load("caltech101-official").splits
    values = {
        split: {int(images.read(place)[0][0, 4, 4]) for place in range(len(images))} for split, images in splits.items()
    }
    assert len(values["train"]) == 60 and len(values["test"]) == 2 and not values["train"] & values["test"]
    assert splits["train"].labels().bincount().tolist() == [30, 30] and splits["test"].labels().tolist() == [0, 1]


def voc(root):
    for name, flags in {"cat": (1, -1, 0), "dog": (1, 1, -1)}.items():
        text(
            root / f"ImageSets/Main/{name}_train.txt",
            *[f"{n:06d} {f:2d}" for n, f in zip((5, 7, 9), flags, strict=True)],
        )
    from poa_bench.datasets.official import VOC_CLASSES

    for name in set(VOC_CLASSES) - {"cat", "dog"}:
        text(root / f"ImageSets/Main/{name}_train.txt", "000005 -1", "000007 -1", "000009 -1")
    for number in (5, 7, 9):
        picture(root / f"JPEGImages/{number:06d}.jpg", number)


def test_pictures_with_several_labels(tmp_path):
    voc(tmp_path)
    found = VocClassification(str(tmp_path), "train")
    cat, dog = (found.metainfo["classes"].index(name) for name in ("cat", "dog"))
    assert found.labels[:, [cat, dog]].tolist() == [[1, 1], [0, 1], [-1, 0]] and np.abs(found.labels).sum() == 4
    assert int(found[2]["inputs"][0, 0, 0]) == 9 and found[1]["label"].tolist() == found.labels[1].tolist()


def test_reassessed_labels_of_imagenet(tmp_path):
    """Pictures are in the order of their names, whatever the folder; those without a label are left out."""
    for folder, number in (("n02", 1), ("n01", 2), ("n02", 3), ("n03", 4)):
        picture(tmp_path / f"val/{folder}/ILSVRC2012_val_{number:08d}.JPEG", number)
    (tmp_path / "real.json").write_text(json.dumps([[1], [], [0, 2], [2]]))
    found = ReassessedImages(str(tmp_path / "val"), str(tmp_path / "real.json"))
    assert found.metainfo["classes"] == ("n01", "n02", "n03") and found.labels.tolist() == [
        [0, 1, 0],
        [1, 0, 1],
        [0, 0, 1],
    ]
    assert [int(found[place]["inputs"][0, 0, 0]) for place in range(3)] == [1, 3, 4]
    (tmp_path / "real.json").write_text("[[1]]")
    with pytest.raises(InputError, match="has 4 pictures and .* labels of 1"):
        ReassessedImages(str(tmp_path / "val"), str(tmp_path / "real.json"))


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(InputError, match="there is no list .*; unpack the official archive"):
        ListedImages(str(tmp_path), str(tmp_path / "train.txt"), "(?P<path>.+)")
    text(tmp_path / "train.txt", "a/1", "nothing")
    with pytest.raises(InputError, match="line 2 of .* is 'nothing', which does not fit"):
        ListedImages(str(tmp_path), str(tmp_path / "train.txt"), "(?P<path>(?P<label>.+)/.+)")
    cifar(tmp_path, hundred=True)
    with pytest.raises(InputError, match="unknown split 'val': use one of train, test"):
        CifarImages(str(tmp_path / "cifar-100-binary"), "val")
    (tmp_path / "cifar-100-binary/train.bin").write_bytes(b"12")
    with pytest.raises(InputError, match="no whole number of rows of 3074 bytes"):
        CifarImages(str(tmp_path / "cifar-100-binary"))
