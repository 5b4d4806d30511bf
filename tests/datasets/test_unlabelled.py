"""Unlabelled pictures of several places: each is there once, in the order of the places, whatever folder it lies in."""

import json

import numpy as np
import pytest
from mmengine.registry import DATASETS
from PIL import Image

from poa_bench.datasets.unlabelled import UnlabelledImages
from poa_bench.errors import InputError
from tests.datasets.packings import as_tar, as_zip

FILES = ["a.png", "train/b.png", "train/deep/er/c.png", "test/d.png", "test/e.png"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(root / name)
    (root / "readme.txt").write_text("not a picture")
    return root


def picture(number: int) -> np.ndarray:
    return np.full((4, 5, 3), number, np.uint8)


def numbers(dataset) -> list[int]:
    """Which pictures a data set has, by their pixels."""
    return [int(dataset[place]["inputs"].unique()) for place in range(len(dataset))]


def test_all_pictures_below_a_folder_of_each_place(folder):
    path, packed = str(folder), str(as_zip(folder))
    assert numbers(UnlabelledImages([dict(path=path)])) == [0, 3, 4, 1, 2]  # by name
    assert numbers(UnlabelledImages([dict(path=packed, folder="train")])) == [1, 2]
    several = [dict(path=path, folder="test"), dict(path=str(as_tar(folder)), folder="train"), dict(path=packed)]
    assert numbers(UnlabelledImages(several)) == [3, 4, 1, 2, 0, 3, 4, 1, 2]


def test_indices_count_over_all_places(folder):
    dataset = UnlabelledImages([dict(path=str(folder), folder="test"), dict(path=str(folder))], indices=[1, 2, -1])
    assert numbers(dataset) == [4, 0, 2]
    assert [dataset[place]["name"] for place in range(3)] == ["test/e.png", "a.png", "train/deep/er/c.png"]


def test_only_pictures_that_an_annotation_file_names(folder, tmp_path):
    described = tmp_path / "train.json"
    described.write_text(json.dumps({"images": [{"file_name": "e.png"}, {"file_name": "e.png"}]}))
    for path in (folder, as_zip(folder)):
        one = dict(path=str(path), folder="test", coco_file=str(described))
        assert numbers(UnlabelledImages([one, dict(path=str(path), folder="train")])) == [4, 1, 2]


def test_what_is_no_picture_is_named(folder, caplog):
    assert UnlabelledImages([dict(path=str(folder))] * 2).source.left_out == {
        "with the ending .txt": ["readme.txt"] * 2
    }


def test_it_is_found_by_its_name_in_configs(folder):
    assert len(DATASETS.build(dict(type="poa_bench.UnlabelledImages", sources=[dict(path=str(folder))]))) == 5


def test_bad_input_is_named(folder, tmp_path):
    described = tmp_path / "train.json"
    one = dict(path=str(folder), coco_file=str(described))
    for text, expected in {
        "{": "is not an annotation file in COCO's format",
        "[]": "is not an annotation file in COCO's format",
        '{"images": [{"id": 3}]}': "is not an annotation file in COCO's format .*file_name",
        '{"images": []}': "names no picture",
        '{"images": [{"file_name": "x.png"}, {"file_name": "a.png"}]}': "1 of the 2 pictures in .* e.g. x.png",
    }.items():
        described.write_text(text)
        with pytest.raises(InputError, match=expected):
            UnlabelledImages([one])
    with pytest.raises(InputError, match="`sources` is empty"):
        UnlabelledImages([])
    with pytest.raises(InputError, match="no folder or archive .*nowhere"):
        UnlabelledImages([dict(path=str(folder / "nowhere"))])
    with pytest.raises(InputError, match="no pictures below valid/ of"):
        UnlabelledImages([dict(path=str(folder), folder="valid")])
    with pytest.raises(InputError, match=r"sources\[0\].ann_file='x': open_unlabelled takes no 'ann_file'"):
        UnlabelledImages([dict(path=str(folder), ann_file="x")])
