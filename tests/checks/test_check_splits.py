"""check-data on pictures that are in two splits: by file and by content, in folders, archives and memory."""

import os
import shutil
import zipfile

import numpy as np
import pytest
from mmengine.config import Config

from poa_bench.checks import splits as check_splits
from poa_bench.checks.check import check_config
from tests.datasets.dense_data import picture


@pytest.fixture
def folder(tmp_path):
    """``train`` of 12 and ``test`` of 6 different pictures of one class."""
    for split, count in (("train", 12), ("test", 6)):
        for i in range(count):
            picture(tmp_path / split / "cat" / f"{split}{i}.jpg", (8, 8))
    return tmp_path


def check(path, every_picture=False, **splits):
    splits = {
        split: dict(type="poa_bench.Images", path=str(path), folder=split) | splits.get(split, {})
        for split in ("train", "test")
    }
    config = Config(dict(evaluation=dict(name="own", image_size=8, **splits)))
    return check_config(config, every_picture)[-1]


def zipped(folder, compression):
    with zipfile.ZipFile(folder / f"{compression}.zip", "w", compression) as archive:
        for path in sorted(folder.glob("t*/cat/*.jpg")):
            archive.write(path, path.relative_to(folder))
    return folder / f"{compression}.zip"


def test_splits_that_share_nothing(folder):
    for path in (folder, zipped(folder, zipfile.ZIP_STORED), zipped(folder, zipfile.ZIP_DEFLATED)):
        row = check(path)
        assert (row.problems, row.notes, row.fine["apart from other splits"]) == ([], [], "fine")


@pytest.mark.parametrize("link", [shutil.copyfile, os.link, os.symlink])
def test_a_picture_in_both_splits(folder, link):
    """A copy under another name, a hard link, a soft link."""
    link(folder / "train/cat/train3.jpg", folder / "test/cat/other.jpg")
    same = "1 of equal content" if link is shutil.copyfile else "1 the same file"
    (problem,) = check(folder).problems
    assert "1 of its 7 pictures are in evaluation.train, too" in problem and same in problem
    assert "test/cat/other.jpg = " in problem and problem.endswith("train3.jpg; leave them out of one of the two")
    if link is not os.symlink:
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            assert "1 of its 7 pictures" in check(zipped(folder, compression)).problems[0]


def test_one_source_cut_in_two(folder, tmp_path):
    """Offsets hit multiples of the other's step: 0, 4, 8 are also in 2, 4, 6, 8, 10."""
    cuts = dict(train=dict(folder="train", indices=[0, 4, 8]), test=dict(folder="train", indices=[2, 4, 6, 8, 10]))
    assert "2 of its 5 pictures are in evaluation.train, too (2 the same file" in check(folder, **cuts).problems[0]
    cuts["test"]["indices"] = [2, 6, 10]
    assert check(folder, **cuts).problems == []


def test_pictures_in_memory(folder, tmp_path):
    files = [path.read_bytes() for path in sorted(folder.glob("train/cat/*.jpg"))]
    data = np.frombuffer(b"".join(files), np.uint8)
    arrays = dict(
        data=data, offsets=np.cumsum([0, *map(len, files)]), labels=np.zeros(12, int), split=[0] * 8 + [1] * 4
    )
    np.savez(tmp_path / "all.npz", classes=["cat"], **arrays)
    options = dict(train=dict(folder="", split="train"), test=dict(folder="", split="test"))
    assert check(tmp_path / "all.npz", **options).problems == []
    options["test"] = dict(folder="", split="train", indices=[5, 6])
    assert "2 of its 2 pictures are in evaluation.train" in check(tmp_path / "all.npz", **options).problems[0]


def test_few_copies_are_said_and_allowed(folder, monkeypatch):
    """Large public sets have some; every share of the same files is refused."""
    monkeypatch.setattr(check_splits, "PUBLIC_DUPLICATES", 0.2)
    shutil.copyfile(folder / "train/cat/train3.jpg", folder / "test/cat/other.jpg")
    row = check(folder)
    assert row.problems == [] and "1 of its 7 pictures are in evaluation.train, too" in row.notes[0]
    os.link(folder / "train/cat/train4.jpg", folder / "test/cat/another.jpg")
    assert "2 of its 8 pictures" in check(folder).problems[0]


def test_a_large_set_is_compared_in_part_and_says_so(folder, monkeypatch):
    monkeypatch.setattr(check_splits, "MOST_READ", 4)
    for path in folder.glob("t*/cat/*.jpg"):
        path.write_bytes(path.read_bytes().ljust(2000, b"\0"))  # nothing is told apart by its size
    row = check(folder)
    assert row.notes == ["0 of 6 pictures compared by content with evaluation.train"]
    monkeypatch.setattr(check_splits, "MOST_READ", 15)
    assert check(folder).notes == ["3 of 6 pictures compared by content with evaluation.train"]
    assert check(folder, every_picture=True).notes == []


def test_files_of_other_sizes_are_not_read(folder, monkeypatch):
    read = []
    monkeypatch.setattr(check_splits, "_content", lambda path: read.append(path) or path)
    for i, path in enumerate(sorted(folder.glob("t*/cat/*.jpg"))):
        path.write_bytes(path.read_bytes().ljust(2000 + i, b"\0"))
    assert check(folder).fine["apart from other splits"] == "fine"
    assert not [path for path in read if b"train" in path]
