"""Each family learns: after a hundred steps on the embedded digits its k-NN is above that of random networks."""

import pytest
import torch

from poa_bench.config_files import find_config
from poa_bench.datasets import digits
from poa_bench.downstream.knn import knn_accuracy
from poa_bench.elastic import Supernet
from poa_bench.launch import build_runner, read_config
from tests.pretraining.runs import arguments

# the smallest part of each space that still varies in width and depth; batches half as large as the configs'
SPACES = {
    "vit": {"widths": [96, 112], "depths": [2, 3]},
    "swin": {"widths": [16, 24], "depths": [2, 3]},
    "resnet": {"widths": [16, 24], "depths": [[1, 2], [1, 2]]},
}
SHORT = [
    "train_cfg.max_iters=110",
    "train_dataloader.batch_size=32",
    "param_scheduler.0.end=0.2",  # epochs of 134 steps
    "param_scheduler.1.begin=0.2",
    "default_hooks.patch_weight.begin=0.2",
]


def accuracy(net: Supernet, spec) -> float:
    """Top-1 accuracy of k-NN, in percent, from a quarter of the pictures."""

    def features(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = digits.classification_arrays(split)
        pixels = torch.from_numpy(images[::4]).permute(0, 3, 1, 2)
        with torch.no_grad():
            return network((pixels - 127.5) / 63.75).cls, torch.from_numpy(labels[::4])

    network = net.eval().bind(spec)
    return knn_accuracy(*features("train"), *features("val"), votes=[(10, 0.07)])[10, 0.07]["top1"]


@pytest.mark.parametrize("family", SPACES)
def test_every_size_learns(family, tmp_path):
    chosen = arguments(tmp_path, config=find_config(f"poa_{family}-digits.py"))
    chosen.cfg_options = SHORT
    config = read_config(chosen)
    config.model.backbone.space.update(SPACES[family])
    runner = build_runner(config)
    net = runner.model.teacher.backbone
    sizes = (net.space.smallest, net.space.intact)
    random = [accuracy(net, spec) for spec in sizes]
    runner.train()
    trained = [accuracy(net, spec) for spec in sizes]
    assert all(after > before + 3 for after, before in zip(trained, random, strict=True)), (random, trained)
