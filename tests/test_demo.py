"""The demo's own part: what is finished is not repeated, and a failed pre-training says why. CI runs it as a whole."""

import os

import pytest
import torch

from poa_bench import demo, trainings
from poa_bench.errors import InputError


def test_a_finished_pretraining_is_not_repeated(tmp_path, monkeypatch):
    folder = tmp_path / "pretrain"
    folder.mkdir()
    (folder / "finished").write_text("iter_7.pth")
    torch.save({}, folder / "iter_7.pth")
    monkeypatch.setattr(trainings.subprocess, "Popen", lambda *_, **__: pytest.fail("trained again"))
    assert demo.Demo(out=str(tmp_path)).pretrain() == folder / "iter_7.pth"
    os.truncate(folder / "iter_7.pth", 100)  # the disk was full when the folder was copied
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        demo.Demo(out=str(tmp_path)).pretrain()


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
