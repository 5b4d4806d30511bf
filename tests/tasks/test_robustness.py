"""Robustness: accuracy by scikit-learn on views that are made by hand, occlusion, shuffling, other test sets, mCE."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from poa_bench.downstream.corruption_settings import CORRUPTIONS
from poa_bench.downstream.corruptions import corrupt, generator_for
from poa_bench.downstream.features import extract_features, normalised
from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.linear import linear_probe
from poa_bench.downstream.robustness import (
    DROPS,
    SHUFFLES,
    correct,
    drop_patches,
    fitting_shuffles,
    mean_corruption_error,
    shuffle_tiles,
)
from poa_bench.elastic import load_supernet
from poa_bench.errors import InputError
from poa_bench.runs.outcomes import MeanOutcome
from poa_bench.sweep.light import evaluate_checkpoint
from poa_bench.tasks import parse_protocol
from poa_bench.tasks.linear import LinearProtocol
from poa_bench.tasks.robustness import CorruptionProtocol
from tests.downstream.networks import tiny_supernet, write_checkpoint

DATA = """
evaluation = dict(
    name="few-digits", image_size=32, mean=[127.5] * 3, std=[63.75] * 3, batch_size=64,
    train=dict(type="poa_bench.DigitsClassification", split="train", indices=list(range(0, 4312, 4))),
    val=dict(type="poa_bench.DigitsClassification", split="val", indices=list(range(0, 400, 4))),
    test=dict(type="poa_bench.DigitsClassification", split="test", indices=list(range(0, 800, 8))),
    shifted=dict(
        later=dict(type="poa_bench.DigitsClassification", split="test", indices=list(range(1, 800, 8))),
        some=dict(type="poa_bench.DigitsClassification", split="val", indices={some}),
    ),
)
"""
SOME = (2, 3, 7)  # classes of the set `some`


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from poa_bench.datasets import digits

    _, labels = digits.classification_arrays("val")
    path = tmp_path_factory.mktemp("data") / "few_digits.py"
    path.write_text(DATA.replace("{some}", str(np.flatnonzero(np.isin(labels, SOME))[:40].tolist())))
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A ResNet whose random features tell digits apart better than chance."""
    net = tiny_supernet("resnet")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return str(write_checkpoint(net, tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"))


@pytest.fixture(scope="module")
def alone(checkpoint, data):
    """The extracted network of the smallest size, its probe, the test pictures (N, S, S, 3), names and labels."""
    net = load_supernet(checkpoint)
    network, spec = net.extract(net.space.smallest).eval(), net.space.smallest
    resolved = EvaluationData.load(data).resolved(None)
    extract = {spec: lambda images: net.bind(spec)(images).cls}
    found = {name: extract_features(extract, images)[spec] for name, images in resolved.splits.items()}
    splits = [(found[name].features, found[name].labels) for name in ("train", "val", "test")]
    probe = linear_probe(*splits, LinearProtocol().regularisers)
    assert torch.allclose(probe.classifier(splits[2][0]), probe.test_logits, atol=1e-9)

    def predict(pictures: np.ndarray, classes=None) -> np.ndarray:
        inputs = normalised(torch.from_numpy(pictures).permute(0, 3, 1, 2), resolved, "cpu")
        with torch.no_grad():
            logits = probe.classifier(network.forward_head(network.forward_features(inputs), pre_logits=True))
        return logits.argmax(1).numpy() if classes is None else np.array(classes)[logits[:, classes].argmax(1)]

    return predict, resolved, spec


def pictures(images) -> tuple[np.ndarray, list[str], np.ndarray]:
    read = [images.read(place) for place in range(len(images))]
    return (
        np.stack([image.permute(1, 2, 0).numpy() for image, _, _ in read]),
        [r[2] for r in read],
        [r[1] for r in read],
    )


def measured(checkpoint, data, tmp_path, protocol: str, spec, seed: int = 0):
    (result,) = evaluate_checkpoint(
        checkpoint, data, tmp_path, tasks=["robustness"], protocols=[protocol], specs=[str(spec)], seeds=[seed]
    )
    return result


def test_accuracy_on_corrupted_pictures_is_scikit_learns(checkpoint, data, alone, tmp_path):
    predict, resolved, spec = alone
    result = measured(checkpoint, data, tmp_path, "robustness-logreg-corruptions15-s24/1", spec)
    clean, names, labels = pictures(resolved.splits["test"])
    right = {}
    for corruption, severity in itertools.product(CORRUPTIONS, (2, 4)):
        changed = [
            corrupt(image, corruption, severity, generator_for(0, name, corruption, severity))
            for image, name in zip(clean, names, strict=True)
        ]
        right[corruption, severity] = accuracy_score(labels, predict(np.stack(changed)))
    for corruption in CORRUPTIONS:
        expected = 100 * (right[corruption, 2] + right[corruption, 4]) / 2
        assert result.metrics[f"{corruption}_top1"] == pytest.approx(expected)
    for severity in (2, 4):
        expected = 100 * np.mean([right[corruption, severity] for corruption in CORRUPTIONS])
        assert result.metrics[f"severity{severity}_top1"] == pytest.approx(expected)
    assert result.metrics["corrupted_top1"] == pytest.approx(100 * np.mean(list(right.values())))
    before = 100 * accuracy_score(labels, predict(clean))
    assert result.metrics["clean_top1"] == pytest.approx(before)
    assert result.metrics["retention"] == pytest.approx(100 * result.metrics["corrupted_top1"] / before)
    assert next(iter(result.metrics)) == "corrupted_top1" and "mce" not in result.metrics
    assert result.facts["views"] == 30 and result.facts["test_images"] == len(labels)
    assert len(set(right.values())) > 10 and before > 20


@pytest.mark.parametrize("protocol", ["occlusion-g8-draws2", "shuffle-draws1"])
def test_occluded_and_shuffled_pictures_are_scored_by_scikit_learn(protocol, checkpoint, data, alone, tmp_path):
    predict, resolved, spec = alone
    result = measured(checkpoint, data, tmp_path, f"robustness-logreg-{protocol}/1", spec)
    clean, names, labels = pictures(resolved.splits["test"])
    found = {}
    if protocol.startswith("occlusion"):
        for percent, draw in itertools.product(DROPS, range(2)):
            drawn = [generator_for(0, name, "occlusion", 1000 * draw + percent) for name in names]
            changed = [drop_patches(image, percent, 8, each) for image, each in zip(clean, drawn, strict=True)]
            found.setdefault(f"drop{percent}_top1", []).append(accuracy_score(labels, predict(np.stack(changed))))
    else:
        for rows, columns in ((2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (16, 16)):
            drawn = [generator_for(0, name, "shuffle", 100 * rows + columns) for name in names]
            changed = [shuffle_tiles(image, (rows, columns), each) for image, each in zip(clean, drawn, strict=True)]
            found[f"shuffle{rows}x{columns}_top1"] = [accuracy_score(labels, predict(np.stack(changed)))]
    for name, values in found.items():
        assert result.metrics[name] == pytest.approx(100 * np.mean(values)), name
    primary = next(iter(result.metrics))
    assert primary == ("occluded_top1" if protocol.startswith("occlusion") else "shuffled_top1")
    assert result.metrics[primary] == pytest.approx(100 * np.mean(list(found.values())))
    assert set(result.metrics) == {primary, "clean_top1", "retention", *found}


def test_other_test_sets_and_their_classes(checkpoint, data, alone, tmp_path):
    predict, resolved, spec = alone
    metrics = measured(checkpoint, data, tmp_path, "robustness-logreg-shifted/1", spec).metrics
    clean, _, labels = pictures(resolved.splits["test"])
    later, _, later_labels = pictures(resolved.shifted_splits["later"])
    some, _, some_labels = pictures(resolved.shifted_splits["some"])
    assert set(some_labels) == set(SOME)
    assert metrics["later_top1"] == pytest.approx(100 * accuracy_score(later_labels, predict(later)))
    assert metrics["later_clean_top1"] == metrics["clean_top1"]
    assert metrics["some_top1"] == pytest.approx(100 * accuracy_score(some_labels, predict(some, SOME)))
    chosen = np.isin(labels, SOME)
    of_some = 100 * accuracy_score(np.array(labels)[chosen], predict(clean[chosen], SOME))
    assert metrics["some_clean_top1"] == pytest.approx(of_some)
    assert of_some > 100 * accuracy_score(np.array(labels)[chosen], predict(clean[chosen])), "fewer classes are easier"
    assert metrics["shifted_top1"] == pytest.approx((metrics["later_top1"] + metrics["some_top1"]) / 2)


def test_all_sizes_share_views_and_have_the_numbers_they_have_alone(checkpoint, data, tmp_path, monkeypatch):
    from poa_bench.downstream.labelled_images import LabelledImages

    protocols, passes, real = ["robustness-logreg-shuffle-draws1/1"], [], LabelledImages.batches
    single = evaluate_checkpoint(
        checkpoint, data, tmp_path / "a", tasks=["robustness"], protocols=protocols, specs=["intact"]
    )
    monkeypatch.setattr(LabelledImages, "batches", lambda self, *given: passes.append(self.split) or real(self, *given))
    protocols += ["robustness-logreg-corruptions15-s3/1", LinearProtocol().name]
    found = evaluate_checkpoint(checkpoint, data, tmp_path / "b", tasks=["robustness", "linear"], protocols=protocols)
    ours = [result for result in found if result.protocol == protocols[0]]
    assert len(ours) == len({r.spec for r in ours}) > 3 and [r.metrics for r in ours if r.spec == single[0].spec] == [
        single[0].metrics
    ]
    views = [split for split in passes if split not in ("train", "val", "test")]
    assert len(views) == len(set(views)) == 15 + 6, "each view once for all sizes"


def test_only_what_changes_a_number_is_in_the_identity_of_a_run(data):
    from poa_bench.sweep.plan import TaskEntry
    from poa_bench.tasks.resolve import resolve

    def hashed(task: str, protocols=()) -> dict:
        entry = TaskEntry(task=task, settings={"config": data}, protocols=list(protocols))
        return resolve(entry).config["data"]

    assert "shifted" not in hashed("knn") and "metric" not in hashed("knn")
    assert "shifted" not in hashed("robustness")
    assert hashed("robustness", protocols=["robustness-logreg-shifted/1"])["shifted"]


@pytest.mark.parametrize("percent", DROPS)
@pytest.mark.parametrize(("side", "grid"), [(224, 14), (32, 8)])
def test_the_share_of_patches_that_are_dropped(percent, side, grid):
    """The counts of the published program, k * 196 // 10, and whole patches."""
    image = np.full((side, side, 3), 9, np.uint8)
    dropped = drop_patches(image, percent, grid, np.random.default_rng(0)) == 0
    patches = dropped.reshape(grid, side // grid, grid, side // grid, 3).transpose(0, 2, 1, 3, 4).reshape(grid**2, -1)
    assert set(patches.mean(1)) <= {0.0, 1.0}
    assert patches.all(1).sum() == percent // 10 * grid * grid // 10
    assert image.min() == 9, "the picture itself is as it was"


def test_the_counts_are_the_published_ones():
    drops = [drop_patches(np.ones((224, 224, 3), np.uint8), p, 14, np.random.default_rng(p)) for p in DROPS]
    assert [round((d == 0).mean() * 196) for d in drops] == [19, 39, 58, 78, 98, 117, 137, 156, 176]
    odd = drop_patches(np.ones((32, 32, 3), np.uint8), 50, 14, np.random.default_rng(0))
    assert (odd == 0).mean() == pytest.approx(0.5, abs=0.06), "sides that the grid does not divide"


@pytest.mark.parametrize("grid", SHUFFLES)
def test_shuffling_permutes_tiles(grid):
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    rows, columns = grid

    def tiles(picture: np.ndarray) -> list[bytes]:
        return [
            part.tobytes() for row in np.split(picture, rows) for part in np.split(row, columns, axis=1)
        ]  # numpy's own cut

    shuffled = shuffle_tiles(image, grid, np.random.default_rng(2))
    assert sorted(tiles(shuffled)) == sorted(tiles(image)) and tiles(shuffled) != tiles(image)


def test_draws_belong_to_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)

    def once(seed=0, name="a", change="occlusion", variant=50):
        return drop_patches(image, 50, 8, generator_for(seed, name, change, variant)).tobytes()

    assert once() == once()
    assert len({once(), once(seed=1), once(name="b"), once(change="x"), once(variant=51)}) == 5
    orders = {
        shuffle_tiles(np.arange(48).reshape(4, 4, 3), (2, 2), np.random.default_rng(s)).tobytes() for s in range(400)
    }
    assert len(orders) == 24, "every order of four tiles occurs"


def test_mean_corruption_error_by_hand():
    """Of two pictures, of which one or both are right in some of the five severities."""

    def mce(**right: tuple[int, int]) -> float:
        return mean_corruption_error(
            {name: MeanOutcome(np.uint8(right.get(name, (5, 5))), 20.0) for name in CORRUPTIONS}
        ).score

    assert mce() == 0
    assert mce(fog=(0, 0)) == pytest.approx(100 / 81.9324 * 100 / 15)
    assert mce(fog=(3, 5), snow=(5, 0)) == pytest.approx((20 / 81.9324 + 50 / 86.6816) * 100 / 15)


def test_several_labels_of_a_picture():
    rows = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0]], dtype=torch.int8)
    assert correct(torch.tensor([2, 0, 4]), rows).tolist() == [True, False, False]
    assert correct(torch.tensor([2, 0]), torch.tensor([2, 1])).tolist() == [True, False]


def test_names():
    for name in ("corruptions15-s12345", "corruptions15-s3", "occlusion-g14-draws1", "shuffle-draws3", "shifted"):
        protocol = parse_protocol(f"robustness-logreg-{name}/1", "robustness")
        assert protocol.name == f"robustness-logreg-{name}/1" and len(protocol.description) > 100
    assert CorruptionProtocol().name == "robustness-logreg-corruptions15-s12345/1"
    for name in ("corruptions15-s", "corruptions15-s6", "corruptions15-s21", "corruptions15-s33"):
        with pytest.raises(InputError, match="unknown protocol"):
            parse_protocol(f"robustness-logreg-{name}/1")
    assert fitting_shuffles(224) == list(SHUFFLES) and (14, 14) not in fitting_shuffles(32)
    with pytest.raises(InputError, match="pictures of 33 px cannot be cut"):
        fitting_shuffles(33)
