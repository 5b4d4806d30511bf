"""Schedules give the numbers of the official runs; parameter groups follow DINOv2's rule."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import CosineAnnealingLR, CosineAnnealingParamScheduler, LinearLR, OptimWrapper
from torch import nn

from poa_bench.errors import InputError
from poa_bench.pretraining.optim import Bfloat16OptimWrapper, PretrainOptimWrapperConstructor
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
    with pytest.raises(InputError, match="no attribute 'temprature'"):
        ScheduleHook("temprature", 0, 1).before_train(SimpleNamespace(model=tiny_poa()))


def test_learning_rate_and_weight_decay_at_the_end_of_the_official_vit_run():
    """FACTS: peak 5.0e-3 at batch 1600, 6.2e-4 and 0.359 where the cosine is cut at 78 %."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], "weight_decay": decay} for decay in (0.04, 0.0)]
    optimizer = torch.optim.AdamW(groups, lr=4e-3)
    epochs = {"by_epoch": True, "epoch_length": EPOCH}
    total = EPOCHS / 0.78
    schedulers = [
        LinearLR.build_iter_from_epoch(optimizer, start_factor=1e-4, begin=0, end=10, **epochs),
        CosineAnnealingLR.build_iter_from_epoch(
            optimizer, eta_min_ratio=4e-3, begin=10, end=EPOCHS, T_max=total - 10, **epochs
        ),
        CosineAnnealingParamScheduler.build_iter_from_epoch(
            optimizer, param_name="weight_decay", eta_min_ratio=10, T_max=total, **epochs
        ),
    ]
    runner = fake_runner(optim_wrapper=OptimWrapper(optimizer), param_schedulers=schedulers)
    runner.train_dataloader.batch_size = 1600
    LearningRateScaleHook().before_run(runner)
    assert "learning rate 0.005 = 0.004 * sqrt(1600 / 1024)" in runner.messages[0]
    rates = []
    for _ in range(EPOCHS * EPOCH):
        rates.append(optimizer.param_groups[0]["lr"])
        for scheduler in schedulers:
            scheduler.step()
    assert max(rates) == pytest.approx(5.0e-3, rel=1e-3)
    assert rates[-1] == pytest.approx(6.2e-4, rel=0.01)
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([0.359, 0.0], abs=1e-3)


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
