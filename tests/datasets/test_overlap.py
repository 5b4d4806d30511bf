"""No evaluation config measures on pictures that it has learnt from, and shared pictures are found."""

import itertools

import numpy as np
import pytest

from poa_bench.config_files import evaluation_configs
from poa_bench.datasets import classification
from poa_bench.datasets.classification import Images, chosen_positions
from poa_bench.datasets.overlap import shared_contents, shared_files
from poa_bench.datasets.sources import ArraySource
from poa_bench.downstream.images import EvaluationData
from poa_bench.errors import InputError
from tests.datasets.packings import as_npz, as_tar, coloured

PICTURES = {"imagenet/train": 1281167, "imagenet/val": 50000, "npz/train": 50000, "npz/test": 10000, "zip/": 5000}


def names_alone(path, folder="", ann_file=None, split="train", classes=None):
    """As many names as the real data set has pictures; each split of an .npz or folder of a zip is its own place."""
    part = folder or (split if path.endswith(".npz") else "")
    count = next(count for end, count in PICTURES.items() if end in f"{path}/".replace(".", "/") + part)
    return ArraySource(None, np.zeros(count, int), ("a",), np.char.mod(b"%d", np.arange(count)), f"{path}/{part}")


@pytest.mark.parametrize("name", evaluation_configs())
def test_splits_of_every_evaluation_config_are_apart(name, monkeypatch):
    monkeypatch.setattr(classification, "open_images", names_alone)
    datasets = {split: images.dataset for split, images in EvaluationData.load(name).splits.items()}
    assert len(datasets) >= 2
    for first, second in itertools.combinations(datasets.values(), 2):
        assert len(first) and len(second) and not shared_files(first, second)
        if first.source.images is not None:  # the embedded ones
            assert not shared_contents(first, second)


def test_the_small_imagenet_has_the_sizes_that_it_says(monkeypatch):
    monkeypatch.setattr(classification, "open_images", names_alone)
    splits = EvaluationData.load("imagenet-100k").splits
    assert [len(splits[name]) for name in ("train", "val")] == [98552, 9856]
    bank, others = (splits[name].dataset.positions for name in ("train", "val"))
    assert (bank % 13 == 0).all() and (others % 13 == 1).all()


def test_what_splits_share_is_found_by_name_and_by_content(tmp_path):
    folder = coloured(tmp_path / "all", "ab")
    everything = Images(str(folder))
    half, rest = Images(str(folder), indices=dict(step=2)), Images(str(folder), indices=dict(start=1, step=2))
    assert shared_files(half, rest) == [] == shared_contents(half, rest)
    assert shared_files(everything, half) == [
        f"{folder}/{name}" for name in ("a/0.png", "a/2.png", "b/0.png", "b/2.png")
    ]
    (tmp_path / "link").symlink_to(folder)
    assert shared_files(Images(f"{tmp_path}/link"), half) == shared_files(everything, half)
    copied = Images(str(as_tar(folder)), indices=[3, 4])
    assert shared_files(everything, copied) == []
    assert shared_contents(everything, copied) == [("a/3.png", "a/3.png"), ("b/0.png", "b/0.png")]
    packed = Images(str(as_npz(folder)))
    assert len(shared_contents(packed, packed)) == 8


def test_rules_choose_what_slices_choose():
    assert chosen_positions(dict(start=1, step=3), 10).tolist() == [*range(10)][1::3]
    assert chosen_positions(dict(stop=4), 10).tolist() == [0, 1, 2, 3]
    assert chosen_positions(3, 10).tolist() == [0, 1, 2] and chosen_positions(-3, 10).tolist() == [7, 8, 9]
    assert chosen_positions([5, 0], 10).tolist() == [5, 0] and chosen_positions(None, 2).tolist() == [0, 1]
    with pytest.raises(InputError, match="a rule has whole numbers for start, stop and step"):
        chosen_positions(dict(every=3), 10)
    with pytest.raises(InputError, match="indices go from 3 to 12, but there are 10 pictures"):
        chosen_positions([3, 12], 10)
