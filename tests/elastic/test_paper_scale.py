"""The published search spaces: the claims of the small tests, for drawn sizes and the training of the real ones."""

import itertools
import re
from argparse import Namespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.errors import InputError
from poa_bench.launch import build_runner, read_config

OPTIONS = {"vit": {"init_values": 1e-5}, "swin": {}, "resnet": {}}
COUNTS = {"vit": 143, "swin": 39, "resnet": 465}
# timm starts every residual branch of a ResNet at 0 (bn3.weight): what is inside moves from the second step on
BEHIND_ZERO = re.compile(r"network\.layer\d\.\d+\.(conv\d|bn[12])\.")
NAMED = {
    "vit": ("vit-s", "vit-b", "vit-l"),
    "swin": ("swin-t", "swin-s", "swin-b"),
    "resnet": ("resnet-50", "resnet-101", "resnet-152"),
}


@pytest.mark.parametrize("family", COUNTS)
def test_spaces(family):
    space = SearchSpace.paper(family)
    assert len(space) == len(set(space)) == COUNTS[family]
    assert SearchSpace.from_dict(space.to_dict()) == space
    for alias in NAMED[family]:
        assert space.parse(alias).alias == alias
    assert sum(space.probabilities().values()) == pytest.approx(1)


def test_unknown_family():
    with pytest.raises(InputError, match="vit, swin, resnet"):
        SearchSpace.paper("mlp")


def test_resnet_depths_are_one_list_by_total():
    """As in the official code: weight 2 for the shallowest of 155 depth pairs, 1 for the deepest, width ignored."""
    space = SearchSpace.paper("resnet")
    weights = {spec: space.weight(spec) for spec in space}
    assert weights[space.parse("resnet-50")] == 2 and weights[space.parse("resnet-152")] == 1
    # the list of the official code, where pairs with an equal total differ by at most their places
    pairs = sorted(itertools.product(*space.depths), key=sum)
    for place, pair in enumerate(pairs):
        ties = sum(sum(other) == sum(pair) for other in pairs)
        official = 2 - place / (len(pairs) - 1)
        for width in space.widths:
            spec = space.parse(f"resnet-w{width}-d{pair[0]}-{pair[1]}")
            assert abs(weights[spec] - official) <= (ties - 1) / 2 / (len(pairs) - 1) + 1e-12
    assert weights[space.parse("resnet-w64-d4-8")] == weights[space.parse("resnet-w96-d5-7")]


@pytest.mark.slow
@pytest.mark.parametrize("family", COUNTS)
def test_drawn_sizes_are_stock_networks(family, randomised):
    """Ten drawn sizes of each published space, masked, of an odd size and of 96 px."""
    space = SearchSpace.paper(family)
    supernet = randomised(Supernet(space, **OPTIONS[family]))
    drawn = (space.draw(0, iteration) for iteration in itertools.count())
    for spec in itertools.islice(dict.fromkeys(itertools.islice(drawn, 30)), 10):
        module = supernet.extract(spec)
        for height, width in ((224, 224), (96, 96), (149, 107)):
            images = torch.randn(1, 3, height, width)
            rows, columns = supernet.patch_grid(height, width)
            mask = torch.rand(1, rows * columns) < 0.3
            with torch.no_grad():
                output = supernet(images, spec)
                torch.testing.assert_close(output.cls, module(images), atol=1e-5, rtol=1e-4)
                masked = supernet(images, spec, mask)
                # a hook on the extracted network, at the place that the family names
                position = module.get_submodule(supernet.family.mask_module)
                handle = position.register_forward_hook(
                    lambda _module, _inputs, embedded, mask=mask: supernet.family.apply_mask(
                        supernet.network, embedded, mask, supernet.mask_token
                    )
                )
                torch.testing.assert_close(masked.cls, module(images), atol=1e-5, rtol=1e-4)
                handle.remove()
            assert not torch.allclose(masked.cls, output.cls, atol=1e-3)
            assert output.patches.shape == (1, rows * columns, supernet.width(spec))


class StopAfterOne(Hook):
    """Ends the training after its first iteration; the schedules keep their lengths."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.train_loop.stop_training = True


@pytest.mark.slow
@pytest.mark.parametrize("family", COUNTS)
def test_one_iteration_of_the_pre_training(family, tmp_path):
    """The ImageNet config with its own networks, prototypes and schedules; two pictures, all terms switched on."""
    for image in range(2):
        path = tmp_path / "pictures" / str(image) / "picture.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.random.default_rng(image).integers(0, 255, (256, 320, 3), dtype=np.uint8))
    options = [
        f"train_dataloader.dataset.path={tmp_path / 'pictures'}",
        "train_dataloader.batch_size=2",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "train_dataloader.collate_fn.mask_probability=1.0",
        "default_hooks.patch_weight.begin=0",
        "optim_wrapper.type=OptimWrapper",  # bf16 takes many minutes on a processor that has no instructions for it
        "default_hooks.checkpoint=None",  # gigabytes
        "model.checkpoint_activations=True",
        "model.compile_blocks=False",  # minutes on a CPU
        "default_hooks.logger.interval=1",
    ]
    name = f"poa_{family}_imagenet.py"
    arguments = Namespace(config=name, work_dir=str(tmp_path), cfg_options=options, launcher="none")
    runner = build_runner(read_config(arguments))
    runner.register_hook(StopAfterOne())
    runner.train()
    assert runner.iter == 1
    scalars = runner.message_hub.log_scalars
    for term in ("intact_global", "intact_patch", "elastic_local", "elastic_same_global", "koleo", "grad_norm"):
        assert np.isfinite(scalars[f"train/{term}"].current()), term
    model = runner.model
    assert model.student.backbone.space == SearchSpace.paper(family)
    (drawn,) = model.settings.sizes
    assert drawn in SearchSpace.paper(family) and drawn != model.supernet.space.intact
    moments = runner.optim_wrapper.optimizer.state
    for name, parameter in model.student.backbone.named_parameters():
        moved = moments[parameter]["exp_avg"].abs().max() > 0
        assert moved or BEHIND_ZERO.search(name), f"{name} got no gradient"
