"""bf16 and fp16: what stays float32, that gradients survive, and that bf16 learns what float32 learns."""

from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config
from torch import nn

from poa_bench.config_files import find_config
from poa_bench.elastic import Supernet
from poa_bench.errors import InputError
from poa_bench.launch import set_float32_precision
from poa_bench.pretraining.losses import koleo
from poa_bench.registry import MODELS
from tests.pretraining.runs import logged, train_here
from tests.pretraining.tiny import random_crops, tiny_poa

STEPS = 300
ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 training needs a CUDA device"),
]
SIZES = ("vit-w32-d2", "vit-w32-d3", "vit-w48-d2", "vit-w48-d3")


@pytest.fixture(params=[torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def half(request):
    """A context in which networks compute in half precision."""
    return torch.autocast("cpu", dtype=request.param)


def test_sinkhorn_and_its_targets_are_float32_in_a_half_precision_step(half):
    """Made again outside of autocast from the same features, they are the same to the last bit."""
    model = tiny_poa()
    model.decide(sizes=(model.student.backbone.space.smallest,))
    made = []
    model.targets.register_forward_hook(lambda module, arguments, target: made.append((arguments, target)))
    with half:
        model.loss(random_crops(), model.settings)
    assert len(made) == 2 * model.student.head.count  # class tokens and patches
    for arguments, target in made:
        again = model.targets.forward(*arguments)
        assert target.features.dtype == target.prototypes.dtype == target.bias.dtype == torch.float32
        assert torch.equal(target.bias, again.bias) and again.bias.any()


def test_koleo_is_float32_inside_autocast(half):
    features = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    expected = koleo(features)
    with half:
        found = koleo(features)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_teacher_takes_steps_that_half_precision_cannot_hold(half):
    """One part in ten thousand of a difference of 0.5: far below the spacing of bf16 and fp16 numbers near 1."""
    model = tiny_poa()
    with torch.no_grad():
        for teacher, student in zip(model.teacher.parameters(), model.student.parameters(), strict=True):
            teacher.fill_(1.0)
            student.fill_(0.5)
    model.decide(teacher_momentum=0.9999)
    with half:
        model.after_update()
    for parameter in model.teacher.parameters():
        assert parameter.dtype == torch.float32
        torch.testing.assert_close(parameter, torch.full_like(parameter, 0.99995), rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_norms_are_computed_in_float32(family, half):
    """Their result differs from the float32 one by no more than its own rounding."""
    model = MODELS.build(Config.fromfile(find_config(f"poa_{family}-digits.py")).model.backbone)
    assert isinstance(model, Supernet)
    seen = []
    for module in model.network.modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            module.weight.data.uniform_(0.5, 1.5)
            module.register_forward_hook(
                lambda module, inputs, output: seen.append((module, inputs[0], output.clone()))
            )
    with half, torch.no_grad():
        model(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert seen
    for module, features, output in seen:
        assert module.weight.dtype == torch.float32
        expected = module.forward(features.float()).to(output.dtype)  # without the hook
        torch.testing.assert_close(output, expected, rtol=torch.finfo(output.dtype).eps, atol=1e-5)


def test_float32_products_are_as_precise_as_the_config_says():
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("high", "highest"):
            set_float32_precision(Config({"float32_matmul_precision": precision}))
            assert torch.get_float32_matmul_precision() == precision
        with pytest.raises(InputError, match="'tf32': use 'highest', 'high'"):
            set_float32_precision(Config({"float32_matmul_precision": "tf32"}))
    finally:
        torch.set_float32_matmul_precision(before)


def gradients(context, scale: float) -> torch.Tensor:
    """Of all student weights after one step of the same network; the loss is scaled as fp16 training does.

    Without KoLeo: at initialisation all features are almost the same, and rounding decides which are neighbours.
    """
    torch.manual_seed(0)
    model = tiny_poa(loss_weights={"koleo": 0.0})
    model.decide(sizes=(model.student.backbone.space.smallest,))
    with context:
        total = model.loss(random_crops(), model.settings)["loss"]
    assert total.dtype == torch.float32
    (total * scale).backward()
    return torch.cat([p.grad.flatten() / scale for p in model.student.parameters() if p.grad is not None])


def test_gradients_of_a_half_precision_step_point_where_float32_gradients_point(half):
    expected = gradients(nullcontext(), 1.0)
    for scale in (2.0**power for power in range(16, -1, -1)):  # halved while it overflows, as a gradient scaler does
        found = gradients(half, scale)
        if found.isfinite().all():
            break
    assert scale >= 2 and torch.cosine_similarity(found, expected, dim=0) > 0.999


@pytest.mark.parametrize(
    "wrapper",
    [
        pytest.param(("type=poa_bench.Bfloat16OptimWrapper",), id="bf16", marks=pytest.mark.slow),
        pytest.param(("type=AmpOptimWrapper", "dtype=float16"), id="fp16", marks=ON_GPU),
    ],
)
def test_half_precision_learns_what_float32_learns(wrapper, tmp_path):
    """Three hundred steps on the digits: k-NN of every size within 2 points on average, every loss finite."""
    options = (
        f"train_cfg.max_iters={STEPS}",
        "train_dataloader.dataset.indices=None",
        "train_dataloader.batch_size=32",
        f"default_hooks.checkpoint.interval={STEPS}",
        "default_hooks.knn.type=poa_bench.KnnHook",
        "default_hooks.knn.data=digits",
        "default_hooks.knn.interval=99",  # epochs: once, at the end
        f"default_hooks.knn.sizes=[{','.join(SIZES)}]",
    )
    scores = []
    for name, changes in (("float32", ()), ("half", wrapper)):
        train_here(tmp_path / name, *options, *(f"optim_wrapper.{change}" for change in changes))
        losses = torch.tensor([loss for (loss,) in logged(tmp_path / name, "loss").values()])
        assert len(losses) == STEPS and losses.isfinite().all()
        found = logged(tmp_path / name, *(f"knn/{size}" for size in SIZES))
        scores.append(torch.tensor(found[STEPS]))
    print(scores)
    single, half = scores
    assert single.mean() > 25  # random weights have less than 20
    assert (single.mean() - half.mean()).abs() < 2
