"""Evaluation configs say what pictures there are; how they become inputs is what training did, unless they say it."""

import logging

import pytest
import torch

from poa_bench.downstream.images import EvaluationData
from poa_bench.downstream.knn_hook import KnnHook
from poa_bench.elastic.preprocessing import Preprocessing, say_once
from poa_bench.errors import InputError
from poa_bench.sweep.light import evaluate_checkpoint, plan_light
from tests.datasets.packings import coloured
from tests.downstream.networks import tiny_supernet, write_checkpoint

TRAINING = Preprocessing((110.0, 120.0, 130.0), (50.0, 60.0, 70.0), image_size=32, crop_share=0.8)
SAYS_ALL = "image_size=32, resize=40, mean=[110.0, 120.0, 130.0], std=[50.0, 60.0, 70.0], interpolation='bicubic', "


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POA_BENCH_CACHE", str(tmp_path / "cache"))
    say_once.cache_clear()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder, supernet = tmp_path_factory.mktemp("checkpoints"), tiny_supernet("vit")
    old = write_checkpoint(supernet, folder / "old.pth")
    supernet.preprocessing = TRAINING
    return {"old": str(old), "new": str(write_checkpoint(supernet, folder / "new.pth"))}


def config(folder, entries: str = "") -> str:
    """An evaluation of pictures of 8 px."""
    splits = {name: coloured(folder / name, "abc", 4, place) for place, name in enumerate(("train", "val", "test"))}
    written = ", ".join(f"{name}=dict(type='poa_bench.Images', path='{path}')" for name, path in splits.items())
    path = folder / "evaluation_own.py"
    path.write_text(f"evaluation = dict(name='own', {entries}{written})")
    return str(path)


@pytest.mark.parametrize("initialisation", ["pretrained", "random", "pixels"])
def test_a_config_that_says_nothing_is_one_that_says_what_training_did(checkpoints, tmp_path, initialisation, caplog):
    """Also for the controls, which have no checkpoint when they are measured; and the run has the same id."""
    found = []
    for entries in ("", SAYS_ALL):
        (tmp_path / f"{len(entries)}").mkdir()
        data = config(tmp_path / f"{len(entries)}", entries)
        (result,) = evaluate_checkpoint(
            checkpoints["new"],
            data,
            tmp_path / f"results{len(entries)}",
            tasks=["knn"],
            specs=["smallest"],
            protocols=["knn-k3-T0.07/1"],
            initialisation=initialisation,
        )
        found.append((result.image_size, result.metrics))
    assert found[0] == found[1] and found[0][0] == 32
    assert not [message for message in caplog.messages if "evaluation config" in message]


def test_inputs_are_those_of_training(tmp_path):
    """By hand: resized to 32 / 0.8 = 40 px, cropped to 32, normalised."""
    data = EvaluationData.load(config(tmp_path)).resolved(TRAINING)
    assert (data.image_size, data.resize, data.mean, data.std) == (32, 40, TRAINING.mean, TRAINING.std)
    images, _ = next(data.splits["test"].batches())
    picture = data.splits["test"].dataset[0]["inputs"]
    resized = torch.nn.functional.interpolate(picture[None].float(), 40, mode="bicubic", antialias=True)
    expected = resized[0, :, 4:36, 4:36].round().clamp(0, 255)
    assert (images[0].float() - expected).abs().max() <= 1


def test_a_difference_is_said_when_runs_are_planned(checkpoints, tmp_path, caplog):
    data = config(tmp_path, "mean=[123.675, 116.28, 103.53], resize=32, ")
    with caplog.at_level(logging.WARNING, "poa_bench"):
        plan_light(checkpoints["new"], data, ["knn"], ["smallest"])
    (said,) = caplog.messages
    assert "own makes other inputs of pictures than training did" in said
    assert "mean [123.675, 116.28, 103.53] instead of [110.0, 120.0, 130.0], resize 32 instead of 40" in said
    assert "std" not in said


def test_an_old_checkpoint_takes_what_the_config_says(checkpoints, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "poa_bench"):
        plan_light(checkpoints["old"], config(tmp_path, SAYS_ALL), ["knn"], ["smallest"])
    assert caplog.messages == []
    (tmp_path / "silent").mkdir()
    silent = config(tmp_path / "silent")
    with caplog.at_level(logging.WARNING, "poa_bench"):
        plan_light(checkpoints["old"], silent, ["knn"], ["smallest"])
    (said,) = caplog.messages
    assert "nor the checkpoint, which is of an older version, says mean, std, resize: mean and deviation are Im" in said
    with pytest.raises(InputError, match="says the size of the images: set evaluation.image_size"):
        EvaluationData.load(silent).resolved(None)


@pytest.mark.parametrize(
    "entries, message",
    [
        ("resize=16, ", "evaluation.resize is 16, smaller than the crop of 32 px"),
        ("std=[1.0, 0.0, 1.0], ", "evaluation.std is .* it must be 3 numbers above 0"),
        ("mean=[0.5], ", "evaluation.mean is .* it must be 3 numbers"),
        ("interpolation='nearest', ", "use bicubic or bilinear"),
        ("val_share=1.5, ", "it must lie between 0 and 1"),
    ],
)
def test_values_that_cannot_be(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        EvaluationData.load(config(tmp_path, entries)).resolved(TRAINING)


def test_knn_while_training(tmp_path, log):
    """The hook asks the network that is being trained, and refuses what cannot be measured before the first step."""
    net = tiny_supernet("vit")
    net.preprocessing = TRAINING

    class Runner:
        class model:
            evaluated_network = net

        from mmengine.logging import MMLogger

        logger = MMLogger.get_current_instance()

    hook = KnnHook(config(tmp_path, "std=[1.0, 1.0, 1.0], "), k=3)
    hook.before_train(Runner)
    (said,) = [line for line in log if "makes other inputs" in line]
    assert "std [1.0, 1.0, 1.0] instead of [50.0, 60.0, 70.0]" in said
    (tmp_path / "silent").mkdir()
    silent = config(tmp_path / "silent")
    found = KnnHook(silent, k=3).measure(net)
    (tmp_path / "all").mkdir()
    assert found == KnnHook(config(tmp_path / "all", SAYS_ALL), k=3).measure(net)
    with pytest.raises(InputError, match="KnnHook has k = 13, but train of own has 12 images"):
        KnnHook(silent, k=13).before_train(Runner)
