"""The small Swin and ResNet supernets train: every term is finite and every weight of the intact network moves."""

from argparse import Namespace

import pytest
import torch

from poa_bench.launch import build_runner, read_config


@pytest.mark.parametrize("family", ["swin", "resnet"])
def test_two_steps(family, tmp_path):
    options = [
        "train_dataloader.dataset.indices=16",
        "train_dataloader.batch_size=8",
        "train_cfg.max_epochs=1",
        "param_scheduler.0.end=0.5",
        "param_scheduler.1.begin=0.5",
        "default_hooks.patch_weight.begin=0",
        "default_hooks.logger.interval=1",
    ]
    config = Namespace(config=f"poa_{family}-digits.py", work_dir=str(tmp_path), cfg_options=options, launcher="none")
    runner = build_runner(read_config(config))
    before = {name: tensor.clone() for name, tensor in runner.model.student.backbone.named_parameters()}
    runner.train()
    losses = {name: buffer.data for name, buffer in runner.message_hub.log_scalars.items() if name.startswith("train/")}
    assert len(losses["train/elastic_patch"][0]) == 2
    assert all(torch.isfinite(torch.as_tensor(values, dtype=torch.float64)).all() for values, _ in losses.values())
    for name, tensor in runner.model.student.backbone.named_parameters():
        assert not torch.equal(tensor, before[name]), f"{name} was not trained"
