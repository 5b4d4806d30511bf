"""Dense and fine-tuning models are fed as their backbone was in pre-training, and stay so when they are tested."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint, save_checkpoint

from poa_bench.config_files import read_config
from poa_bench.elastic.preprocessing import Preprocessing, say_once
from poa_bench.errors import InputError
from poa_bench.registry import MODELS
from poa_bench.sweep.plan import expand, make_sweep
from poa_bench.tasks.trained import dense_config
from tests.downstream.networks import FAMILIES, SMALL, tiny_supernet, write_checkpoint

TRAINING = Preprocessing((110.0, 120.0, 130.0), (50.0, 60.0, 70.0), 32)
DIGITS = {"mean": [127.5] * 3, "std": [63.75] * 3}
CONFIGS = {
    "mmdet": "mask-rcnn_sfp_digits.py",
    "mmseg": "linear-seg_digits.py",
    "mmpretrain": "finetune_vit-s_imagenet.py",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """With and without what training did with its pictures."""
    folder, supernet = tmp_path_factory.mktemp("normalisation"), tiny_supernet("vit")
    old = write_checkpoint(supernet, folder / "old.pth")
    supernet.preprocessing = TRAINING
    return {"old": old, "new": write_checkpoint(supernet, folder / "new.pth")}


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger, "warning", lambda self, message, *_: found.append(message))
    return found


def build(library: str, checkpoint, **options):
    """The model as mmengine's Runner builds it."""
    pytest.importorskip(library)
    config = read_config(CONFIGS[library])
    config.model.update(options)
    config.model.backbone.update(spec=str(SMALL["vit"]), families=FAMILIES)
    config.model.backbone.init_cfg.checkpoint = checkpoint and str(checkpoint)
    config.model.setdefault("data_preprocessor", config.get("data_preprocessor"))
    with DefaultScope.overwrite_default_scope(library):
        return MODELS.build(config.model)


def inputs(library: str, model) -> torch.Tensor:
    """What the model's own preprocessor makes of a BGR picture of one colour, (3,) in RGB."""
    picture = torch.tensor([30, 20, 10], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32)
    data = {"inputs": [picture]}
    if library == "mmpretrain":
        data = {"inputs": picture[None]}
    elif library == "mmdet":
        from mmdet.structures import DetDataSample

        data["data_samples"] = [DetDataSample(metainfo={"img_shape": (32, 32), "pad_shape": (32, 32)})]
    else:
        from mmseg.structures import SegDataSample

        data["data_samples"] = [SegDataSample(metainfo={"img_shape": (32, 32)})]
    return model.data_preprocessor(data)["inputs"][0, :, 5, 5]


EXPECTED = (torch.tensor([10.0, 20.0, 30.0]) - torch.tensor(TRAINING.mean)) / torch.tensor(TRAINING.std)


@pytest.mark.parametrize("library", CONFIGS)
def test_what_pretraining_used_is_taken_and_said_and_kept(library, checkpoints, warnings, tmp_path):
    model = build(library, checkpoints["new"])
    torch.testing.assert_close(inputs(library, model), EXPECTED)
    (said,) = [message for message in warnings if "pictures are normalised as in pre-training" in message]
    assert "instead of [110.0, 120.0, 130.0]" in said
    # a test of the trained model may name no checkpoint of pre-training, and still says other numbers in its config
    save_checkpoint({"state_dict": model.state_dict(), "meta": {}}, str(tmp_path / "trained.pth"))
    tested = build(library, None)
    assert not torch.allclose(inputs(library, tested), EXPECTED)
    load_checkpoint(tested, str(tmp_path / "trained.pth"))
    torch.testing.assert_close(inputs(library, tested), EXPECTED)


def test_the_config_wins_where_it_is_told_to(checkpoints, warnings):
    model = build("mmseg", checkpoints["new"], normalisation="config")
    assert model.data_preprocessor.mean.flatten().tolist() == DIGITS["mean"]
    assert "as the config says and not as in pre-training" in warnings[-1]
    with pytest.raises(InputError, match="model.normalisation is 'mine': use 'pretraining' or 'config'"):
        build("mmseg", checkpoints["new"], normalisation="mine")


def test_an_old_checkpoint_leaves_the_configs_numbers_and_says_so(checkpoints, warnings):
    model = build("mmseg", checkpoints["old"])
    assert model.data_preprocessor.std.flatten().tolist() == DIGITS["std"]
    assert "does not say how pre-training normalised pictures" in warnings[-1]


def test_a_trained_model_needs_no_file_of_the_pretraining(warnings, tmp_path):
    """It is tested elsewhere with the config of its training; to train without it stops."""
    model = build("mmseg", tmp_path / "gone.pth")
    assert model.data_preprocessor.mean.flatten().tolist() == DIGITS["mean"]
    assert "gone.pth is not there" in warnings[-1]
    with pytest.raises(InputError, match="there is no file .*gone.pth"):
        model.init_weights()


def runs(checkpoint, config: str, **options):
    entry = {"task": "segmentation", "specs": ["smallest"], "initialisations": ["pretrained", "random"]}
    entry["settings"] = {"config": config, "cfg_options": options}
    return expand(make_sweep({"name": "t", "checkpoints": [str(checkpoint)], "results": "unused", "tasks": [entry]}))


def test_runs_of_a_sweep_and_their_controls(checkpoints, tmp_path, caplog):
    """The plan says the difference; both kinds of runs take what pre-training used."""
    say_once.cache_clear()
    with caplog.at_level(logging.WARNING, "poa_bench"):
        pretrained, random = runs(checkpoints["new"], "linear-seg_digits.py")
    (said,) = caplog.messages
    assert "linear-seg_digits.py has mean [127.5, 127.5, 127.5] instead of [110.0, 120.0, 130.0]" in said
    for run in (pretrained, random):
        preprocessor = dense_config(run, tmp_path).model.data_preprocessor
        assert (preprocessor.mean, preprocessor.std) == ([110.0, 120.0, 130.0], [50.0, 60.0, 70.0])
    kept, _ = runs(checkpoints["new"], "linear-seg_digits.py", **{"model.normalisation": "config"})
    assert dense_config(kept, tmp_path).model.data_preprocessor.mean == DIGITS["mean"]
    old, _ = runs(checkpoints["old"], "linear-seg_digits.py")
    assert dense_config(old, tmp_path).model.data_preprocessor.mean == DIGITS["mean"]
