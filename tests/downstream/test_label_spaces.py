"""Splits are compared by the names of their classes, wherever the pictures are: the oracle are colours."""

import re

import pytest
import torch

from poa_bench.downstream import images
from poa_bench.downstream.features import extract_features, pixel_features
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn_hook import KnnHook
from poa_bench.downstream.measure import Place, measure_knn, measure_linear
from poa_bench.downstream.protocols import KnnProtocol, LinearProtocol
from poa_bench.errors import InputError
from tests.datasets.packings import as_list, as_npz, as_tar, as_tar_of_tars, as_zip, coloured
from tests.downstream.networks import tiny_supernet

IMAGES = "poa_bench.Images"
ABC = ["a", "b", "c"]
KINDS = {
    "folder": lambda folder: dict(path=str(folder)),
    "zip": lambda folder: dict(path=str(as_zip(folder))),
    "tar": lambda folder: dict(path=str(as_tar(folder))),
    "tar of tars": lambda folder: dict(path=str(as_tar_of_tars(folder))),
    "npz": lambda folder: dict(path=str(as_npz(folder))),
    "list of names": lambda folder: dict(path=str(folder), ann_file=str(as_list(folder)), classes=[*map(str, "abcd")]),
    "list of numbers": lambda folder: dict(path=str(folder), ann_file=str(as_list(folder, "abcd".index))),
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
    features = {name: extract_features({0: pixel_features}, images)[0] for name, images in data.splits.items()}
    protocol = KnnProtocol(5, 0.07)
    knn = measure_knn(features, [protocol], data, Place())[protocol]
    return [row["metrics"]["top1"] for row in (knn, measure_linear(features, LinearProtocol(5), data, Place(), 0))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_without_the_first_class(tmp_path, kind, log):
    assert accuracies(config_of(tmp_path, kind, test="bc")) == [100, 100]
    absent = "'0'" if kind == "list of numbers" else "'a'"
    assert f"the test split has no picture of {absent}" in log


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_train_has_not_is_one_sentence(tmp_path, kind):
    unknown = "'3'" if kind == "list of numbers" else "'d'"
    with pytest.raises(InputError, match=f"^classes {unknown} of the test split have no image in train, .* train has"):
        accuracies(config_of(tmp_path, kind, test="bcd"))


def test_kinds_may_differ_within_a_data_set(tmp_path):
    config = config_of(tmp_path, "folder", test="bc")
    config["train"] = dict(type=IMAGES, path=str(as_zip(tmp_path / "train")), classes=["c", "b", "a"])
    listed = as_list(tmp_path / "test", lambda name: "cb".index(name))
    config["test"] = dict(type=IMAGES, path=str(tmp_path / "test"), ann_file=str(listed), classes=["c", "b"])
    assert accuracies(config) == [100, 100]
    del config["test"]["classes"]  # then the numbers have no names
    with pytest.raises(InputError, match="classes '0', '1' of the test split .* name the numbers of an annotation"):
        accuracies(config)


def test_chosen_pictures_decide_which_classes_there_are(tmp_path):
    config = config_of(tmp_path, "folder", test="abc")
    config["train"]["indices"] = dict(start=12)  # b and c
    with pytest.raises(InputError, match="classes 'a' of the val split have no image in train"):
        accuracies(config)
    config["val"]["indices"], config["test"]["indices"] = dict(start=2), [4, 5, 8]
    assert accuracies(config) == [100, 100]


def test_data_sets_without_class_names_keep_their_numbers(monkeypatch):
    plain = [dict(inputs=torch.zeros(3, 8, 8, dtype=torch.uint8), label=label) for label in range(3)]
    monkeypatch.setattr(images, "_build", lambda config: plain)
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
