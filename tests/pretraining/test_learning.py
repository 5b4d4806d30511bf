"""Each family learns: after one or two hundred steps on the embedded digits, k-NN is above that of random networks."""

import pytest
from mmengine.hooks import Hook

from poa_bench.config_files import find_config
from poa_bench.downstream.knn_hook import KnnHook
from poa_bench.launch import build_runner, read_config
from tests.conftest import but_slow
from tests.pretraining.runs import arguments

# the smallest part of each space that still varies in width and depth; batches half as large as the configs'
SPACES = {
    "vit": {"widths": [96, 112], "depths": [2, 3]},
    "swin": {"widths": [16, 24], "depths": [2, 3]},
    "resnet": {"widths": [16, 24], "depths": [[1, 2], [1, 2]]},
}
STEPS = {"vit": 110, "swin": 110, "resnet": 180}
SHORT = [
    "train_dataloader.batch_size=32",
    "param_scheduler.0.end=0.2",  # epochs of 134 steps
    "param_scheduler.1.begin=0.2",
    "default_hooks.patch_weight.begin=0.2",
]


@pytest.mark.parametrize("family", but_slow(SPACES, ["vit"]))
def test_every_size_learns(family, tmp_path):
    chosen = arguments(tmp_path, config=find_config(f"poa_{family}-digits.py"))
    chosen.cfg_options = [*SHORT, f"train_cfg.max_iters={STEPS[family]}"]
    config = read_config(chosen)
    config.model.backbone.space.update(SPACES[family])
    runner = build_runner(config)
    net = runner.model.teacher.backbone
    knn = KnnHook("digits", k=10)
    random = {}

    class AtTheStart(Hook):
        """Measures when the networks have been told how training preprocesses pictures."""

        def before_train(self, runner):
            random.update(knn.measure(net.eval()))

    runner.register_hook(AtTheStart())
    runner.train()
    trained = knn.measure(net.eval())
    assert all(trained[size] > random[size] + 3 for size in random), (random, trained)
