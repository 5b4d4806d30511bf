"""No evaluation config measures on pictures that it has learnt from."""

import itertools

import numpy as np
import pytest

from poa_bench.config_files import evaluation_configs
from poa_bench.datasets import classification, digits
from poa_bench.datasets.classification import ImageDataset, chosen_positions
from poa_bench.datasets.scenes import SCANS_OF
from poa_bench.datasets.sources import ArraySource
from poa_bench.downstream.images import CLASSES, EvaluationData
from poa_bench.errors import InputError
from poa_bench.registry import DATASETS
from tests.datasets.test_official import SETS

# their archives say which picture is in which split; tests/datasets/test_official.py reads them
OFFICIAL = {*SETS, "voc2007", "caltech101-official", "inat18", "inat19", "imagenet-1percent", "imagenet-10percent"}
PICTURES = {"imagenet/train": 1281167, "imagenet/val": 50000, "npz/train": 50000, "npz/test": 10000, "zip/": 5000}


def names_alone(path, folder="", ann_file=None, split="train", classes=None):
    """As many names as the real data set has pictures; each split of an .npz or folder of a zip is its own place."""
    part = folder or (split if path.endswith(".npz") else "")
    count = next(count for end, count in PICTURES.items() if end in f"{path}/".replace(".", "/") + part)
    names = np.char.mod(f"{path}/{part}/%d".encode(), np.arange(count))
    return ArraySource(None, np.zeros(count, int), ("a",), names)


def shown(data: ImageDataset) -> set:
    """Names of the pictures, and what is in them where they are embedded."""
    contents = set() if data.source.images is None else {data.source.images[i].tobytes() for i in data.positions}
    return contents | set(data.source.names[data.positions].tolist())


@pytest.fixture
def splits(monkeypatch):
    """The data sets of an evaluation config, without the pictures of those that are not embedded."""
    monkeypatch.setattr(classification, "open_images", names_alone)

    def opened(name: str) -> dict[str, ImageDataset]:
        data = EvaluationData.load(name)
        entries = {split: getattr(data, split) for split in ("train", "val", "test") if getattr(data, split)}
        return {split: DATASETS.build({**entry, "lazy_init": True}) for split, entry in entries.items()}

    return opened


WITH_MAPS = {name for name in evaluation_configs() if EvaluationData.load(name).truth != CLASSES}


@pytest.mark.parametrize("name", sorted(set(evaluation_configs()) - OFFICIAL - WITH_MAPS))
def test_splits_of_every_evaluation_config_are_apart(name, splits):
    datasets = splits(name)
    assert len(datasets) >= 2
    for first, second in itertools.combinations(datasets.values(), 2):
        assert len(first.positions) and len(second.positions) and shown(first).isdisjoint(shown(second))


@pytest.mark.parametrize("name", sorted(WITH_MAPS))
def test_splits_of_pictures_with_maps_are_other_folders_or_lists(name):
    data = EvaluationData.load(name)
    entries = [getattr(data, split) for split in ("train", "val", "test") if getattr(data, split)]
    places = [str(entry.get("data_prefix") or entry.get("ann_file") or entry["split"]) for entry in entries]
    assert len(set(places)) == len(entries) >= 2


def test_no_scene_shows_a_scan_of_another_split_of_scenes():
    scans = {split: digits.scans(of) for split, of in SCANS_OF.items()}
    shown = {split: {stroke.tobytes() for stroke in source.strokes} for split, source in scans.items()}
    assert set(shown) == {"train", "val", "dev"}
    assert all(first.isdisjoint(second) for first, second in itertools.combinations(shown.values(), 2))


def test_the_small_imagenet_has_the_sizes_that_it_says(splits):
    bank, others = (splits("imagenet-100k")[name].positions for name in ("train", "val"))
    assert (len(bank), len(others)) == (98552, 9856)
    assert (bank % 13 == 0).all() and (others % 13 == 1).all()


def test_rules_choose_what_slices_choose():
    assert chosen_positions(dict(start=1, step=3), np.zeros(10, int)).tolist() == [*range(10)][1::3]
    assert chosen_positions(dict(stop=4), np.zeros(10, int)).tolist() == [0, 1, 2, 3]
    assert chosen_positions(3, np.zeros(10, int)).tolist() == [0, 1, 2] and chosen_positions(
        -3, np.zeros(10, int)
    ).tolist() == [7, 8, 9]
    assert chosen_positions([5, 0], np.zeros(10, int)).tolist() == [5, 0] and chosen_positions(
        None, np.zeros(2, int)
    ).tolist() == [0, 1]
    with pytest.raises(InputError, match="a rule has whole numbers for start, stop and step"):
        chosen_positions(dict(every=3), np.zeros(10, int))
    with pytest.raises(InputError, match="indices go from 3 to 12, but there are 10 pictures"):
        chosen_positions([3, 12], np.zeros(10, int))
