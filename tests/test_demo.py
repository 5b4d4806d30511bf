"""The demo's own part: what is finished is not repeated, and a failed pre-training says why. CI runs it as a whole."""

import os
from pathlib import Path

import pytest
import torch

from poa_bench import demo, trainings
from poa_bench.errors import InputError
from tests.pretraining.teaching import write_teacher


def finish(folder: Path, seed: int = 0) -> Path:
    """A training that has ended; returns its checkpoint."""
    path = write_teacher(folder)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["meta"]["seed"] = seed
    torch.save(checkpoint, path)
    (folder / "finished").write_text(path.name)
    (folder / "last_checkpoint").write_text(str(path))
    return path


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(trainings.subprocess, "Popen", lambda *_, **__: pytest.fail("trained again"))


def test_a_finished_pretraining_is_not_repeated(tmp_path, no_training):
    checkpoint = finish(tmp_path / "pretrain")
    assert demo.Demo(out=str(tmp_path)).pretrain() == checkpoint


@pytest.mark.parametrize("lose", [lambda path: os.truncate(path, 100), os.remove])
def test_a_pretraining_whose_checkpoint_is_lost_begins_anew(lose, tmp_path, no_training, capsys):
    """The disk was full when the folder was copied, or somebody has removed it: before, the demo was stuck for ever."""
    lose(finish(tmp_path / "pretrain"))
    (tmp_path / "pretrain-lost1").mkdir()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        demo.Demo(out=str(tmp_path)).pretrain()
    said = " ".join(capsys.readouterr().out.split())
    assert "begins anew" in said and (tmp_path / "pretrain-lost2" / "last_checkpoint").is_file()
    assert not (tmp_path / "pretrain" / "last_checkpoint").exists()


def test_another_seed_is_another_training(tmp_path, no_training):
    finish(tmp_path / "pretrain", seed=0)
    with pytest.raises(InputError, match="holds a training with seed 0, not 1: choose another --out, or that seed"):
        demo.Demo(out=str(tmp_path), seed=1).pretrain()
    assert demo.Demo(seed=1, quick=True).folder.name == "demo-vit-quick-seed1"


def test_a_failed_pretraining_shows_its_log_and_is_not_finished(tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text("model = dict(type='poa_bench.POA')\n")  # no data
    monkeypatch.setattr(trainings, "find_config", lambda _: broken)
    with pytest.raises(InputError, match="pre-training ended with status 2; the end of .*pretrain.log"):
        demo.Demo(out=str(tmp_path)).pretrain()
    assert not (tmp_path / "pretrain" / "finished").exists()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_configs_of_every_demo_exist(family, quick, tmp_path):
    made = demo.Demo(family, quick, out=str(tmp_path))
    assert demo.find_config(made.pretraining).is_file() and demo.find_config(made.sweep).is_file()


@pytest.mark.parametrize("quick", [False, True])
def test_configs_of_the_distillation_exist(quick, tmp_path):
    made = demo.Demo(quick=quick, out=str(tmp_path), distill=True)
    assert demo.find_config(made.distillation).is_file() and demo.find_config(made.sweep).is_file()


def test_there_is_no_distillation_of_another_family():
    with pytest.raises(InputError, match="distils --family vit only, found swin"):
        demo.Demo("swin", distill=True)
