"""A pre-training that begins with weights which are there."""

from argparse import Namespace

import pytest
import torch
from mmengine.hooks import Hook

from poa_bench.elastic import SearchSpace, Supernet, save_subnet
from poa_bench.errors import InputError
from poa_bench.launch import build_runner, read_config

OPTIONS = [
    "model.backbone.space.widths=[32,48]",
    "model.backbone.space.depths=[2,3]",
    "train_dataloader.dataset.indices=64",
    "train_dataloader.batch_size=8",
    "train_cfg.max_iters=2",
    "default_hooks.checkpoint.interval=1",
    "param_scheduler.0.end=0.125",
    "param_scheduler.1.begin=0.125",
    "default_hooks.patch_weight.begin=0",
]


class Keep(Hook):
    """What the training began with."""

    priority = "LOWEST"

    def before_train(self, runner):
        self.state = {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}


def run(path, work_dir, **more):
    config = read_config(
        Namespace(config="poa_vit-digits.py", work_dir=str(work_dir), cfg_options=OPTIONS, launcher="none")
    )
    config.default_hooks.start = {"type": "poa_bench.StartHook", "checkpoint": str(path)}
    config.update(more)
    runner, keep = build_runner(config), Keep()
    runner.register_hook(keep, priority="LOWEST")
    runner.train()
    return keep.state


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """One size of a larger network, and another size of it."""
    space = SearchSpace("vit", widths=(32, 48, 64), depths=((2, 3, 4),), head_dim=16)
    net = Supernet(space, image_size=32, patch_size=8)
    folder = tmp_path_factory.mktemp("large")
    for size in ("vit-w48-d3", "vit-w32-d2"):
        save_subnet(net, space.parse(size), folder / f"{size}.safetensors", "0" * 64)
    return net, folder


def test_student_and_teacher_begin_as_the_size_and_a_resumed_run_does_not(large, tmp_path):
    net, folder = large
    wanted = net.extract(net.space.parse("vit-w48-d3")).state_dict()
    state = run(folder / "vit-w48-d3.safetensors", tmp_path / "w")
    for branch in ("student", "teacher"):
        assert all(torch.equal(state[f"{branch}.backbone.network.{name}"], tensor) for name, tensor in wanted.items())
    checkpoint = str(tmp_path / "w" / "iter_1.pth")
    resumed = run(folder / "vit-w48-d3.safetensors", tmp_path / "again", resume=True, load_from=checkpoint)
    name = "student.backbone.network.blocks.0.mlp.fc1.weight"
    assert not torch.equal(resumed[name], state[name])


def test_another_size_is_refused(large, tmp_path):
    with pytest.raises(InputError, match="holds vit-w32-d2, not vit-w48-d3"):
        run(large[1] / "vit-w32-d2.safetensors", tmp_path / "w")
