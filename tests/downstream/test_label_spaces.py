"""Splits are compared by the names of their classes, wherever the pictures are: the oracle are colours."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from poa_bench.checks.check import check_config
from poa_bench.downstream import images
from poa_bench.downstream.features import Place, extract_features, pixel_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn_hook import KnnHook
from poa_bench.errors import InputError
from poa_bench.tasks.base import FrozenFeatures
from poa_bench.tasks.knn import KnnProtocol
from poa_bench.tasks.linear import LinearProtocol
from tests.datasets.packings import as_list, as_npz, as_tar, as_tar_of_tars, as_zip, coloured
from tests.downstream.networks import tiny_supernet

IMAGES = "poa_bench.Images"
ABC = ["a", "b", "c"]


def classes_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


KINDS = {
    "folder": lambda folder: dict(path=str(folder)),
    "zip": lambda folder: dict(path=str(as_zip(folder))),
    "tar": lambda folder: dict(path=str(as_tar(folder))),
    "tar of tars": lambda folder: dict(path=str(as_tar_of_tars(folder))),
    "npz": lambda folder: dict(path=str(as_npz(folder))),
    "list of names": lambda folder: dict(path=str(folder), ann_file=str(as_list(folder)), classes=[*map(str, "abcd")]),
    "list of numbers": lambda folder: dict(path=str(folder), ann_file=str(as_list(folder, "abcd".index))),
    "lists numbered apart": lambda folder: dict(
        path=str(folder), ann_file=str(as_list(folder, classes_of(folder).index))
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))


def config_of(folder, kind: str, test: str, train: str = "abc") -> dict:
    """Splits whose pictures are packed one by one, as entries of an evaluation config."""
    splits = {"train": coloured(folder / "train", train, 12), "val": coloured(folder / "val", "ca", 2, 1)}
    splits |= {"test": coloured(folder / "test", test, 4, 2)}
    return {name: dict(type=IMAGES, **KINDS[kind](path)) for name, path in splits.items()}


def accuracies(config: dict) -> list[float]:
    """Top-1 of k-NN and of the linear probe on pixels, in percent."""
    data = EvaluationData("coloured", **config, image_size=8).resolved(None)
    splits = {name: extract_features({0: pixel_features}, images)[0] for name, images in data.splits.items()}
    features = FrozenFeatures(splits, data, Place())
    ((_, knn),) = KnnProtocol.measure_all([KnnProtocol(5, 0.07)], features)
    if isinstance(knn, Exception):
        raise knn
    return [found.metrics["top1"] for found in (knn, LinearProtocol(5).measure(features))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_without_the_first_class(tmp_path, kind, log):
    assert accuracies(config_of(tmp_path, kind, test="bc")) == [100, 100]
    assert "the test split has no picture of 'a'" in log


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_train_has_not_is_one_sentence(tmp_path, kind):
    with pytest.raises(InputError, match="^classes 'd' of the test split have no image in train, .* train has 'a'"):
        accuracies(config_of(tmp_path, kind, test="bcd"))


@pytest.mark.parametrize("kind", ["folder", "lists numbered apart"])
def test_check_data_compares_them_alike(tmp_path, kind):
    fitting = config_of(tmp_path / "one", kind, test="bc")
    *_, row = check_config(Config(dict(evaluation=dict(name="coloured", image_size=8, **fitting))))
    assert row.problems == [] and "1 classes of evaluation.train are not in it: a" in row.notes
    strange = config_of(tmp_path / "two", kind, test="bcd")
    *_, row = check_config(Config(dict(evaluation=dict(name="coloured", image_size=8, **strange))))
    assert "1 of its classes are not in evaluation.train: d" in row.problems[0]


def test_kinds_may_differ_within_a_data_set(tmp_path):
    config = config_of(tmp_path, "folder", test="bc")
    config["train"] = dict(type=IMAGES, path=str(as_zip(tmp_path / "train")), classes=["c", "b", "a"])
    listed = as_list(tmp_path / "test", lambda name: "cb".index(name))
    config["test"] = dict(type=IMAGES, path=str(tmp_path / "test"), ann_file=str(listed), classes=["c", "b"])
    assert accuracies(config) == [100, 100]
    del config["test"]["classes"]  # the folders are names, too
    assert accuracies(config) == [100, 100]
    for file in [*(tmp_path / "test").glob("*/*")]:  # nothing is
        file.rename(tmp_path / "test" / f"{file.parent.name}{file.name}")
    listed.write_text(listed.read_text().replace("/", ""))
    with pytest.raises(InputError, match="classes '0', '1' of the test split .* name the numbers of an annotation"):
        accuracies(config)


def test_lists_without_class_folders_are_compared_by_number(tmp_path, log):
    config = {}
    for split, classes in (("train", "abc"), ("test", "bc")):
        folder = coloured(tmp_path / split, classes, 6)
        listed = as_list(folder, "abc".index)
        listed.write_text(listed.read_text().replace("/", ""))
        for file in [*folder.glob("*/*")]:
            file.rename(folder / f"{file.parent.name}{file.name}")
        config[split] = dict(type=IMAGES, path=str(folder), ann_file=str(listed))
    assert accuracies(config) == [100, 100]
    assert "the test split has no picture of '0'" in log
    config["train"] = dict(type=IMAGES, path=str(coloured(tmp_path / "folders", "abc", 6)))
    with pytest.raises(InputError, match="classes '1', '2' of the test split .* name the numbers of an annotation"):
        accuracies(config)
    del config["train"]["path"]
    config["train"] |= dict(path=str(tmp_path / "folders"), ann_file=str(as_list(tmp_path / "folders", "abc".index)))
    assert accuracies(config) == [100, 100]


def test_chosen_pictures_decide_which_classes_there_are(tmp_path):
    config = config_of(tmp_path, "folder", test="abc")
    config["train"]["indices"] = dict(start=12)  # b and c
    with pytest.raises(InputError, match="classes 'a' of the val split have no image in train"):
        accuracies(config)
    config["val"]["indices"], config["test"]["indices"] = dict(start=2), [4, 5, 8]
    assert accuracies(config) == [100, 100]


def test_data_sets_without_class_names_keep_their_numbers(monkeypatch):
    plain = [dict(inputs=torch.zeros(3, 8, 8, dtype=torch.uint8), label=label) for label in range(3)]
    monkeypatch.setattr(images, "build_dataset", lambda config: plain)
    ((_, labels),) = EvaluationData("plain", {}, {}, image_size=8).resolved(None).splits["test"].batches()
    assert labels.tolist() == [0, 1, 2]


def test_knn_while_training(tmp_path):
    config = config_of(tmp_path, "folder", test="b")
    path = tmp_path / "evaluation_coloured.py"
    path.write_text(f"evaluation = dict(name='coloured', image_size=32, resize=32, **{config!r})")
    found = KnnHook(str(path), k=3).measure(tiny_supernet("vit"))
    assert [*found.values()] == [100, 100]
    path.write_text(path.read_text().replace("/val'", "/test'").replace("/train'", "/val'"))
    with pytest.raises(InputError, match=re.escape("classes 'b' of the val split have no image in train")):
        KnnHook(str(path), k=3).measure(tiny_supernet("vit"))
