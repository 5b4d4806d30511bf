"""Schedules give the numbers of the official runs; parameter groups follow DINOv2's rule."""

import copy
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from poa_bench.config_files import find_config
from poa_bench.elastic import SearchSpace, Supernet
from poa_bench.errors import InputError
from poa_bench.pretraining.heads import ProjectionHead
from poa_bench.pretraining.loop import set_cut_lengths
from poa_bench.pretraining.optim import Bfloat16OptimWrapper, PretrainOptimWrapperConstructor, ShardedAdamW
from poa_bench.pretraining.schedules import FreezeLastLayerHook, LearningRateScaleHook, ScheduleHook, interpolate
from tests.pretraining.tiny import tiny_poa

EPOCH, EPOCHS = 10, 346  # 10 instead of 800 iterations an epoch


def fake_runner(**attributes) -> SimpleNamespace:
    """What hooks ask a Runner."""
    messages = []
    logger = SimpleNamespace(info=messages.append)
    loader = SimpleNamespace(batch_size=50)
    return SimpleNamespace(logger=logger, messages=messages, train_dataloader=loader, **attributes)


def test_interpolation_is_clipped():
    assert [interpolate(1, 3, progress) for progress in (-1, 0, 0.5, 1, 2)] == [1, 1, 2, 3, 3]
    assert [interpolate(1, 3, progress, "cosine") for progress in (0, 0.5, 1)] == pytest.approx([1, 2, 3])


def test_teacher_temperature_of_the_paper():
    hook = ScheduleHook("teacher_temperature", 0.04, 0.07, length=30)
    values = [hook.value(epoch * EPOCH, EPOCH, EPOCHS * EPOCH) for epoch in (0, 15, 30, 345)]
    assert values == pytest.approx([0.04, 0.055, 0.07, 0.07])


def test_patch_loss_begins_with_a_step():
    hook = ScheduleHook("patch_weight", 0, 1, begin=30, length=0)
    assert [hook.value(iteration, EPOCH, EPOCHS * EPOCH) for iteration in (299, 300)] == [0, 1]


@pytest.mark.parametrize(("cut", "last"), [(0.78, 0.9990), (0.90, 0.9997), (1.0, 0.9999)])
def test_momentum_at_the_end_of_the_official_runs(cut, last):
    hook = ScheduleHook("teacher_momentum", 0.992, 0.9999, "cosine", cut=cut)
    assert hook.value(EPOCHS * EPOCH - 1, EPOCH, EPOCHS * EPOCH) == pytest.approx(last, abs=6e-5)


def test_unknown_shape_and_attribute_are_refused():
    with pytest.raises(InputError, match="use 'linear' or 'cosine'"):
        ScheduleHook("patch_weight", 0, 1, "square")
    with pytest.raises(InputError, match="no setting 'temprature' to schedule: it has teacher_temperature, "):
        ScheduleHook("temprature", 0, 1).before_train(SimpleNamespace(model=tiny_poa()))


@pytest.mark.parametrize(
    ("family", "batch", "peak", "last", "decay"),
    [
        ("vit", 1600, 5.0e-3, 6.18e-4, 0.359),
        ("swin", 2048, 5.66e-3, 1.82e-4, 0.391),
        ("resnet", 1280, 4.47e-3, 2.0e-5, 0.4),
    ],
)
def test_learning_rate_and_weight_decay_of_the_official_runs(family, batch, peak, last, decay):
    """FACTS, section 2: the cosine is cut at 78 % (ViT) and 90 % (Swin)."""
    config = Config.fromfile(find_config(f"poa_{family}_imagenet.py"))
    groups = [{"params": [nn.Parameter(torch.ones(1))], "weight_decay": decay} for decay in (0.04, 0.0)]
    optimizer = torch.optim.AdamW(groups, lr=config.optim_wrapper.optimizer.lr)
    schedulers = []
    set_cut_lengths(config.param_scheduler, config.train_cfg.max_epochs)
    for settings in config.param_scheduler:
        settings = {key: value for key, value in settings.items() if key != "convert_to_iter_based"}
        scheduler = PARAM_SCHEDULERS.get(settings.pop("type"))
        schedulers.append(scheduler.build_iter_from_epoch(optimizer, epoch_length=EPOCH, **settings))
    runner = fake_runner(optim_wrapper=OptimWrapper(optimizer), param_schedulers=schedulers)
    runner.train_dataloader.batch_size = batch
    hook = config.default_hooks.learning_rate_scale
    LearningRateScaleHook(hook.base_batch_size, hook.rule).before_run(runner)
    assert f"= 0.004 * sqrt({batch} / 1024)" in runner.messages[0]
    rates = []
    for _ in range(config.train_cfg.max_epochs * EPOCH):
        rates.append(optimizer.param_groups[0]["lr"])
        for scheduler in schedulers:
            scheduler.step()
    assert max(rates) == pytest.approx(peak, rel=2e-3)
    assert rates[-1] == pytest.approx(last, rel=0.01)
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([decay, 0.0], abs=1e-3)


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_headers_start_the_published_batch(family):
    path = find_config(f"poa_{family}_imagenet.py")
    text, config = path.read_text(), Config.fromfile(path)
    published = int(re.search(r"\bbatch (\d+)", text)[1])
    nodes, tasks = map(int, re.search(r"srun -N(\d+) --ntasks-per-node=(\d+)", text).groups())
    gpus = int(re.search(r"torchrun --nproc_per_node=(\d+)", text)[1])
    accumulated = int(re.search(r"optim_wrapper.accumulative_counts=(\d+)", text)[1])
    each = config.train_dataloader.batch_size
    assert nodes * tasks * each == gpus * accumulated * each == published
    assert f"{published} = {gpus} x {each} x {accumulated}" in text


def test_rate_of_layers_follows_the_official_rule():
    """rate ** (n + 1 - layer): stem 0, block i is i + 1, norm and heads n + 1; no decay for biases, norms, gamma."""
    model = tiny_poa()
    settings = {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}}
    constructor = PretrainOptimWrapperConstructor(settings, {"layer_decay": 0.5, "patch_embed_lr": 0.2})
    optimizer = constructor(model).optimizer
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(found) == len(list(model.student.parameters()))

    def setting(name: str) -> tuple[float, float]:
        return found[id(model.student.get_parameter(name))]

    block = "backbone.network.blocks.{}."
    assert setting("backbone.network.cls_token") == setting("backbone.mask_token") == (0.5**7, 0.1)
    assert setting("backbone.network.pos_embed") == (0.5**7, 0.1)
    assert setting("backbone.network.patch_embed.proj.weight") == (0.2 * 0.5**7, 0.1)
    assert setting("backbone.network.patch_embed.proj.bias") == (0.2 * 0.5**7, 0.0)
    assert setting(block.format(0) + "mlp.fc1.weight") == (0.5**6, 0.1)
    assert setting(block.format(5) + "attn.qkv.bias") == (0.5, 0.0)
    assert setting(block.format(5) + "ls1.gamma") == (0.5, 0.0)
    assert setting(block.format(5) + "norm1.weight") == (0.5, 0.0)
    assert setting("backbone.network.norm.weight") == (1.0, 0.0)
    assert setting("head.mlp0.0.weight") == setting("head.last_layer3.weight_v") == (1.0, 0.1)
    assert optimizer.param_groups[0]["lr"] == 1.0  # what logs show


def test_rate_of_layers_without_a_last_norm():
    """The official ResNet: rate ** (n - layer), so the last block is not decayed, and nor are the heads."""
    net = Supernet(
        SearchSpace("resnet", widths=[32], depths=([2], [3])),
        channels=[32, 64, 128, 256],
        num_groups=8,
        fixed_depths=[1, 1],
    )
    student = nn.ModuleDict({"backbone": net, "head": ProjectionHead(net.width(), [8], 16, 8)})
    scales = PretrainOptimWrapperConstructor(
        {"optimizer": {"type": "AdamW", "lr": 1.0}}, {"layer_decay": 0.5}
    ).learning_rate_scales(student)
    block = "backbone.network.layer{}.{}.conv1.weight"
    assert scales["backbone.network.conv1.weight"] == scales["backbone.mask_token"] == 0.5**7
    assert [scales[block.format(*place)] for place in [(1, 0), (2, 1), (3, 2), (4, 0)]] == [0.5**6, 0.5**4, 0.5, 1]
    assert scales["head.mlp0.0.weight"] == 1


def test_backbone_and_heads_are_clipped_apart():
    model = tiny_poa()
    norms = {}
    for apart in (False, True):
        settings = {"optimizer": {"type": "SGD", "lr": 1.0}, "clip_grad": {"max_norm": 0.5}}
        wrapper = PretrainOptimWrapperConstructor(settings, {"clip_apart": apart})(model)
        for parameter in model.student.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.student.backbone.mask_token.grad = None
        expected = torch.nn.utils.get_total_norm([p.grad for p in model.student.parameters() if p.grad is not None])
        wrapper._clip_grad()
        assert wrapper.message_hub.get_scalar("train/grad_norm").current() == pytest.approx(expected.item())
        norms[apart] = [
            torch.nn.utils.get_total_norm([p.grad for p in part.parameters() if p.grad is not None]).item()
            for part in model.student.children()
        ]
    assert sum(norm**2 for norm in norms[False]) ** 0.5 == pytest.approx(0.5, rel=1e-4)
    assert norms[True] == pytest.approx([0.5, 0.5], rel=1e-4)


@pytest.mark.parametrize("settings", [{"layer_decay": 0}, {"layer_decay_rate": 0.9}])
def test_wrong_paramwise_settings_are_refused(settings):
    with pytest.raises(InputError, match="must lie in|allowed are layer_decay"):
        PretrainOptimWrapperConstructor({"optimizer": {"type": "AdamW", "lr": 1.0}}, settings)


def test_last_layer_is_frozen_for_the_first_epoch_only():
    model = tiny_poa()
    optimizer = torch.optim.AdamW(model.student.parameters(), lr=0.1)
    runner = SimpleNamespace(
        model=model, iter=0, train_dataloader=[None] * 3, optim_wrapper=SimpleNamespace(optimizer=optimizer)
    )
    FreezeLastLayerHook(epochs=1).before_train(runner)
    weight, other = model.student.head.last_layer0.weight_v, model.student.head.mlp0[0].weight
    moved = []
    for runner.iter in range(5):
        before = weight.detach().clone(), other.detach().clone()
        for parameter in model.student.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        moved.append((not torch.equal(weight, before[0]), not torch.equal(other, before[1])))
    assert moved == [(False, True)] * 3 + [(True, True)] * 2


def test_bfloat16_wrapper_computes_in_bfloat16_and_steps_in_float32():
    layer = nn.Linear(4, 4)
    wrapper = Bfloat16OptimWrapper(torch.optim.AdamW(layer.parameters(), lr=0.1))
    with wrapper.optim_context(layer):
        output = layer(torch.ones(2, 4))
    assert output.dtype == torch.bfloat16
    wrapper.update_params(output.float().sum())
    assert layer.weight.dtype == torch.float32


@pytest.fixture
def one_process():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_sharded_fused_adamw_goes_on_from_its_state(device, one_process):
    """On a GPU torch's own leaves the counts of steps on the CPU, where the fused kernel does not take them."""

    def step(layer: nn.Linear, optimizer: ShardedAdamW, times: int) -> None:
        for _ in range(times):
            layer(torch.ones(2, 4, device=device)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    torch.manual_seed(0)
    layer = nn.Linear(4, 3).to(device)
    optimizer = ShardedAdamW(layer.parameters(), lr=0.1, fused=True)
    step(layer, optimizer, 2)
    optimizer.consolidate_state_dict()
    again = copy.deepcopy(layer)
    resumed = ShardedAdamW(again.parameters(), lr=0.1, fused=True)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert {value.device.type for state in resumed.optim.state.values() for value in state.values()} == {device}
    step(layer, optimizer, 2)
    step(again, resumed, 2)
    torch.testing.assert_close(again.weight, layer.weight, rtol=0, atol=0)
