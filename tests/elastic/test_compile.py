"""Compiled blocks: the same numbers and gradients, one piece of code for all sizes of a width, nothing else changed."""

import copy

import pytest
import torch
from torch._dynamo.utils import counters

from poa_bench.elastic import SearchSpace, Supernet
from tests.conftest import but_slow
from tests.pretraining.tiny import random_crops, tiny_poa

FAMILIES = {
    "vit": (
        SearchSpace("vit", widths=[16, 32], depths=[1, 2, 3], head_dim=16),
        {"image_size": 16, "patch_size": 4, "drop_path_rate": 0.5, "drop_path_uniform": True},
    ),
    "swin": (
        SearchSpace("swin", widths=[16, 32], depths=[2, 3], head_dim=16),
        {"image_size": 32, "patch_size": 2, "window_size": 4, "drop_path_rate": 0.0},
    ),
    "resnet": (
        SearchSpace("resnet", widths=[16, 32], depths=([1, 2], [2, 3])),
        {"channels": [16, 32, 64, 128], "num_groups": 8, "fixed_depths": [1, 1]},
    ),
}


@pytest.fixture(autouse=True)
def fresh():
    """Other tests may have used up the limits of torch's compiler, and counted their own code."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def outputs_and_gradients(net: Supernet) -> list[torch.Tensor]:
    found = []
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(2, 3, side, side, generator=generator) for side in (64, 40)]  # 40: Swin pads
    for spec in net.space:
        torch.manual_seed(0)  # of drop path
        network = net.bind(spec)  # one slice of the weights for both sizes of crops, as in training
        outputs = [network(crops) for crops in images]
        net.zero_grad()
        sum(output.cls.square().sum() + output.patches.square().mean() for output in outputs).backward()
        found += [*(output.cls.detach() for output in outputs)]
        found += [parameter.grad.clone() for parameter in net.network.parameters() if parameter.grad is not None]
    return found


@pytest.mark.parametrize(
    "family, backend",
    [
        *but_slow([(family, "aot_eager") for family in FAMILIES], [("vit", "aot_eager")]),
        *but_slow([(family, "inductor") for family in FAMILIES], []),
    ],
)
def test_numbers_and_gradients_are_those_of_the_plain_network(family, backend):
    space, options = FAMILIES[family]
    torch.manual_seed(0)
    plain = Supernet(space, **options).train()
    compiled = copy.deepcopy(plain)
    compiled.compile_blocks(backend)
    expected, found = outputs_and_gradients(plain), outputs_and_gradients(compiled)
    assert counters["stats"]["unique_graphs"] > 0 and not counters["graph_break"]
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):  # fused sums have another order
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm() + 1e-6
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    extracted = compiled.extract(space.smallest)
    assert not any(module._compiled_call_impl for module in extracted.modules())


def test_sizes_of_a_width_share_their_code():
    space, options = FAMILIES["vit"]
    net = Supernet(space, **options).train()
    net.compile_blocks("aot_eager")
    outputs_and_gradients(net)
    assert counters["stats"]["unique_graphs"] == 2 * len(space.widths)  # times two sizes of crops


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_training_step_is_the_plain_one(checkpointed, monkeypatch):
    """With all its passes: both students, the teacher without gradients, masks."""
    monkeypatch.setattr(Supernet.compile_blocks, "__defaults__", ("aot_eager",))
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = tiny_poa(checkpoint_activations=checkpointed, compile_blocks=compiled)
        model.decide(sizes=(model.student.backbone.space.smallest,))
        losses = model.loss(random_crops(), model.settings)
        losses["loss"].backward()
        known = len(torch._dynamo.eval_frame.cached_backends)
        model.loss(random_crops(), model.settings)
        assert len(torch._dynamo.eval_frame.cached_backends) == known  # what torch would keep of every step
        results.append((losses, [parameter.grad for parameter in model.student.parameters()]))
    assert counters["stats"]["unique_graphs"] >= 5
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
