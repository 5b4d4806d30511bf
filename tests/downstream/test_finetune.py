"""Fine-tuning configs: every size's settings against the official code's, and a small run through mmpretrain."""

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, PARAM_SCHEDULERS, init_default_scope

from poa_bench.config_files import find_config
from poa_bench.downstream.warmup_cosine import WarmupCosineLR
from poa_bench.errors import InputError
from poa_bench.sweep.plan import load_sweep
from tests.downstream.networks import FAMILIES, SMALL
from tests.downstream.test_dense_configs import load, noise_image
from tests.downstream.test_dense_configs import run as run_config
from tests.warned import warnings_in

pytest.importorskip("mmpretrain")

# eval/finetuning.py of the official code: epochs, pictures per GPU, learning rate, layer decay; and what follows from
# the networks: blocks, length of the feature, the tensors of the first and the last block
SETTINGS = {
    "vit-s": (200, 256, 2e-3, 0.55, 12, 384, "blocks.0.norm1.weight", "blocks.11.mlp.fc2.bias"),
    "vit-b": (100, 256, 7e-4, 0.4, 12, 768, "blocks.0.norm1.weight", "blocks.11.mlp.fc2.bias"),
    "vit-l": (50, 256, 1.8e-3, 0.6, 24, 1024, "blocks.0.norm1.weight", "blocks.23.mlp.fc2.bias"),
    "swin-t": (200, 128, 1.4e-3, 0.6, 12, 768, "layers.0.blocks.0.norm1.bias", "layers.3.blocks.1.mlp.fc2.bias"),
    "swin-s": (100, 128, 1e-3, 0.4, 24, 768, "layers.0.blocks.0.norm1.bias", "layers.3.blocks.1.mlp.fc2.bias"),
    "swin-b": (50, 64, 7e-4, 0.55, 24, 1024, "layers.0.blocks.0.norm1.bias", "layers.3.blocks.1.mlp.fc2.bias"),
    "resnet-50": (100, 128, 1.4e-3, 0.6, 16, 3584, "layer1.0.conv1.weight", "layer4.2.bn3.weight"),
    "resnet-101": (100, 128, 1e-3, 0.4, 33, 3584, "layer1.0.conv1.weight", "layer4.2.bn3.weight"),
    "resnet-152": (100, 64, 7e-4, 0.45, 50, 3584, "layer1.0.conv1.weight", "layer4.2.bn3.weight"),
}
STEM = {"vit": "patch_embed.proj.weight", "swin": "patch_embed.proj.weight", "resnet": "conv1.weight"}
CONFIG = {
    "vit": "finetune_vit-s_imagenet.py",
    "swin": "finetune_swin-t_imagenet.py",
    "resnet": "finetune_resnet-50_imagenet.py",
}


def official_rates(peak: float, epochs: int, per_epoch: int, warmup_epochs: int) -> list[float]:
    """`cosine_scheduler` of the official code, for the epochs that are run."""
    warmup = np.linspace(0, peak, warmup_epochs * per_epoch)
    length = epochs * per_epoch - len(warmup)
    return [*warmup, *(1e-6 + 0.5 * (peak - 1e-6) * (1 + math.cos(math.pi * i / length)) for i in range(length))]


@pytest.mark.parametrize("size", list(SETTINGS))
def test_settings_are_those_of_the_official_code(size):
    epochs, batch, peak, decay, blocks, features, first, last = SETTINGS[size]
    config = Config.fromfile(find_config(f"finetune_{size}_imagenet.py"))
    assert (config.train_cfg.max_epochs, config.train_dataloader.batch_size) == (epochs, batch)
    assert config.model.backbone.spec == size and config.model.backbone.get("drop_path_rate", 0) == 0
    augments = {augment.type: augment.alpha for augment in config.model.train_cfg.augments}
    assert augments == {"Mixup": 0.8, "CutMix": 1.0} and config.model.head.loss.label_smooth_val == 0.1
    steps = {step["type"]: step for step in config.train_dataloader.dataset.pipeline}
    rand = steps["RandAugment"]
    assert (rand["policies"], rand["magnitude_level"], rand["magnitude_std"]) == ("timm_increasing", 9, 0.5)
    assert (rand["num_policies"], rand["total_level"], steps["RandomErasing"]["erase_prob"]) == (2, 10, 0.25)
    assert "clip_grad" not in config.optim_wrapper
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.weight_decay, tuple(optimizer.betas)) == ("AdamW", 0.05, (0.9, 0.999))

    init_default_scope("mmpretrain")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    assert model.head.fc.in_features == features
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    groups = {id(parameter): group for group in wrapper.param_groups for parameter in group["params"]}
    of = {name: groups[id(parameter)] for name, parameter in model.named_parameters()}
    names = {
        "head.fc.weight": (peak, 0.05),
        f"backbone.network.{last}": (peak * decay, 0.0),
        f"backbone.network.{first}": (peak * decay**blocks, 0.05 if "conv" in first else 0.0),
        f"backbone.network.{STEM[size.split('-')[0]]}": (
            peak * decay ** (blocks + 1),
            0.0 if "resnet" in size else 0.05,
        ),
    }
    if "backbone.network.norm.weight" in of and "resnet" not in size:
        names["backbone.network.norm.weight"] = (peak, 0.0)
    for name, (rate, weight_decay) in names.items():
        assert of[name]["lr"] == pytest.approx(rate, rel=1e-9), name
        assert of[name]["weight_decay"] == weight_decay, name

    (settings,) = config.param_scheduler
    starts = [of["head.fc.weight"]["lr"], of[f"backbone.network.{STEM[size.split('-')[0]]}"]["lr"]]
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in starts]
    optimizer = torch.optim.SGD(groups)
    scheduler = PARAM_SCHEDULERS.build({**settings, "optimizer": optimizer, "end": 10 * epochs})
    rates = []
    for _ in range(10 * epochs):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    expected = np.array(official_rates(peak, epochs, 10, {200: 20, 100: 10, 50: 5}[epochs]))
    assert np.allclose(rates, np.outer(expected, [1, decay ** (blocks + 1)]), rtol=1e-9, atol=0)


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Keeps the classifier's weights after every step, and those that are evaluated."""

    priority = "VERY_LOW"

    def before_train(self, runner):
        self.steps, self.evaluated = [], None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(copy.deepcopy(runner.model.head.fc.weight.detach()))

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.evaluated = copy.deepcopy(runner.model.head.fc.weight.detach())


def classification(folder, family: str) -> Config:
    """The config's pipelines, on two classes of two images each."""
    for split in ("train", "val"):
        for image in range(4):
            noise_image(folder / f"images/{split}/{image % 2}/{image}.jpg", (96, 128), image)
    config = load(
        CONFIG[family], folder / "work", SMALL[family], **{"train_cfg.max_epochs": 10, "train_cfg.val_interval": 10}
    )
    config.default_hooks.checkpoint.interval = -1
    small = {"RandomResizedCrop": {"scale": 32}, "ResizeEdge": {"scale": 36}, "CenterCrop": {"crop_size": 32}}
    for split, loader in (("train", config.train_dataloader), ("val", config.val_dataloader)):
        loader.batch_size = 2
        root, pipeline = str(folder / "images"), loader.dataset.pipeline
        for step in pipeline:
            step.update(small.get(step["type"], {}))
        loader.dataset = {"type": "CustomDataset", "data_root": root, "data_prefix": split, "pipeline": pipeline}
    return config


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_small_run(family, tmp_path):
    """Ten epochs of two steps: warm-up, cosine and the average that is evaluated follow the run's length."""
    config = classification(tmp_path, family)
    config.custom_hooks.append({"type": "mmengine.Watch"})
    runner, _ = run_config(config)
    assert all("of an older version" in line for line in warnings_in(tmp_path / "work"))  # the made checkpoint
    watch = next(hook for hook in runner.hooks if isinstance(hook, Watch))
    backbone, head = runner.model.backbone, runner.model.head.fc
    assert head.in_features == (128 + 256 + 512 if family == "resnet" else backbone.network.num_features)
    (scheduler,) = runner.param_schedulers
    assert (scheduler.end, scheduler.warmup_steps) == (20, 2)
    average = watch.steps[0]
    for weight in watch.steps[1:]:
        average = 0.7 * average + 0.3 * weight
    assert torch.allclose(watch.evaluated, average, atol=1e-7)
    assert not torch.allclose(watch.evaluated, watch.steps[-1], atol=1e-7)


def test_stages_are_pooled_and_joined(tmp_path):
    init_default_scope("mmpretrain")
    settings = {"type": "poa_bench.SubnetBackbone", "families": FAMILIES}
    backbone = MODELS.build({**settings, "spec": str(SMALL["resnet"]), "output": "pooled_stages"})
    maps = []
    for stage in (backbone.network.layer2, backbone.network.layer3, backbone.network.layer4):
        stage.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    (found,) = backbone(torch.rand(2, 3, 64, 64))
    assert torch.allclose(found, torch.cat([map_.flatten(2).mean(2) for map_ in maps], 1), atol=1e-6)
    with pytest.raises(InputError, match="'pooled_stages' is for networks with stages; VisionTransformer has none"):
        MODELS.build({**settings, "spec": str(SMALL["vit"]), "output": "pooled_stages"})


def test_schedule_refuses_what_it_cannot_mean():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(InputError, match=r"warmup is 5: it is a share of the run"):
        WarmupCosineLR(optimizer, warmup=5, end=10)
    with pytest.raises(InputError, match="counts iterations"):
        WarmupCosineLR(optimizer, end=10, by_epoch=True)


def test_sweep_gives_every_size_its_config():
    tasks = load_sweep("sweep_imagenet_finetune").tasks
    assert {task.specs[0]: task.settings["config"] for task in tasks} == {
        size: f"finetune_{size}_imagenet.py" for size in SETTINGS
    }
    assert all(len(task.specs) == 1 and task.families == [task.specs[0].split("-")[0]] for task in tasks)
