"""Data that are broken: a sentence that names them, in bounded time and memory; in a training, another picture."""

import os
import random
import time

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from poa_bench.datasets.classification import Images
from poa_bench.datasets.sources import decode, open_images
from poa_bench.errors import InputError


def picture(seed: int = 0) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    return cv2.imencode(".jpg", values)[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return tmp_path / "images"


def test_broken_pictures_are_replaced_counted_and_named(folder, monkeypatch):
    said = []
    monkeypatch.setattr("poa_bench.datasets.classification.print_log", lambda text, **_: said.append(text))
    (folder / "a" / "04.jpg").write_bytes(b"\xff\xd8 nothing")
    (folder / "a" / "06.jpg").write_bytes(b"")
    data = Images(str(folder), broken_share=0.1)
    names = [data.get_data_info(index)["name"] for index in range(20)]
    first, second = names.index("a/04.jpg"), names.index("a/06.jpg")
    good = [data[index]["inputs"] for index in range(20)]
    assert torch.equal(good[first], decode(picture(8), "x")), "06 is broken too, so the one behind it"
    assert torch.equal(good[second], good[second + 1]) and not torch.equal(good[0], good[1])
    assert data._broken == {data.positions[first], data.positions[second]}
    assert "a/04.jpg (10 bytes) cannot be decoded" in said[0] and "another picture takes its place" in said[0]


def test_more_broken_pictures_than_allowed_are_an_error(folder):
    for number in (0, 1, 2):
        (folder / "ab"[number % 2] / f"{number:02d}.jpg").write_bytes(b"broken")
    data = Images(str(folder), broken_share=0.1)
    with pytest.raises(InputError, match=r"01.jpg .* 3 pictures are broken, and broken_share=0.1 allows 2"):
        for index in range(20):
            data[index]
    with pytest.raises(InputError, match="cannot be decoded; replace or remove it$"):  # the default, of evaluations
        list(Images(str(folder)))
    with pytest.raises(InputError, match="broken_share is 1"):
        Images(str(folder), broken_share=1)


def test_every_process_that_reads_has_its_part(folder):
    for number in (0, 1, 2):
        (folder / "ab"[number % 2] / f"{number:02d}.jpg").write_bytes(b"broken")
    loader = DataLoader(Images(str(folder), broken_share=0.3), batch_size=5, num_workers=2, collate_fn=len)
    assert list(loader) == [5] * 4
    with pytest.raises(InputError, match="allows 1 "):
        list(DataLoader(Images(str(folder), broken_share=0.1), batch_size=5, num_workers=2, collate_fn=len))


def test_pipes_are_no_pictures(folder):
    os.mkfifo(folder / "a" / "pipe.jpg")
    (folder / "a" / "link.jpg").symlink_to(folder / "a" / "pipe.jpg")
    start = time.monotonic()
    assert len(list(Images(str(folder)))) == 20 and time.monotonic() - start < 60


@pytest.mark.parametrize("label", ["100000000000", "1" * 5000, "٣", "-1", "1e3"])
def test_labels_that_are_no_numbers_of_classes(label, folder, tmp_path):
    (tmp_path / "list.txt").write_text(f"a/00.jpg 0\nb/01.jpg {label}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 of"):
        open_images(str(folder), ann_file=str(tmp_path / "list.txt"))


def archive(path, **changes):
    data = np.frombuffer(picture() + picture(1), np.uint8)
    arrays = {"data": data, "offsets": np.array([0, len(picture()), len(data)]), "labels": np.array([0, 1])}
    arrays |= {"split": np.array([0, 1]), "classes": np.array(["a", "b"])}
    np.savez(path, **{**arrays, **changes})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"data": np.zeros(10, np.float32)},
        {"offsets": np.array([0, 10**12, 10**13])},
        {"offsets": np.array([5, 3, 9])},
        {"offsets": np.array([-5, 3, 9])},
        {"offsets": np.array([0, 3])},
        {"labels": np.array([10**11, 0])},
        {"labels": np.array([0.5, 1])},
        {"labels": np.array([[0, 1]])},
        {"split": np.array(["train", "test"])},
        {"classes": np.array([1, 2])},
    ],
)
def test_arrays_that_do_not_fit(changes, tmp_path):
    open_images(str(archive(tmp_path / "good.npz")))
    with pytest.raises(InputError, match="bad.npz"):
        open_images(str(archive(tmp_path / "bad.npz", **changes)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), count=st.integers(1, 8), cut=st.floats(0, 1))
def test_damaged_bytes_end_in_a_sentence(seed, count, cut, tmp_path):
    """A picture, an npz and a zip of pictures, each with some bytes changed or the end cut off."""
    choose = random.Random(seed)
    good = archive(tmp_path / "good.npz").read_bytes()
    for content in (picture(), good):
        data = bytearray(content)
        for _ in range(count):
            data[choose.randrange(len(data))] = choose.randrange(256)
        data = bytes(data[: max(int(len(data) * cut), 1)] if choose.random() < 0.5 else data)
        try:
            if content is good:
                (tmp_path / "bad.npz").write_bytes(data)
                open_images(str(tmp_path / "bad.npz")).read(0)
            else:
                assert decode(data, "x").dtype == torch.uint8
        except InputError as error:
            assert "cannot be" in str(error) or "bad.npz" in str(error)
