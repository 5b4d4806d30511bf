"""MoCo v3: losses, gradients and momentum encoder of an official implementation, over five steps."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from poa_bench.elastic import SearchSpace
from poa_bench.elastic.family import Output
from poa_bench.errors import InputError
from poa_bench.pretraining.contrast import BatchNormMLP, ContrastHead, contrast
from poa_bench.pretraining.objective import Crops
from poa_bench.pretraining.objectives.moco import MoCoV3
from tests.downstream.processes import in_two_processes
from tests.pretraining.teaching import BACKBONE, numbers
from tests.pretraining.tiny import SPACE, random_crops

HEAD = {"type": "poa_bench.ContrastHead", "hidden_features": 20, "out_features": 8}
# of our parameters, what the file calls them
NAMES = {
    "backbone.fc": "backbone.fc",
    "head.projector.0": "neck.fc0",
    "head.projector.1": "neck.bn0",
    "head.projector.3": "neck.fc1",
    "head.projector.4": "neck.bn1",
    "head.projector.6": "neck.fc2",
    "head.predictor.0": "head.predictor.fc0",
    "head.predictor.1": "head.predictor.bn0",
    "head.predictor.3": "head.predictor.fc1",
}
MOMENTUM = "momentum_encoder.module."


class OneLayer(nn.Module):
    """The file's backbone, as far as MoCo v3 is concerned."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 12)
        self.space = SearchSpace.from_dict(SPACE)

    def forward(self, images):
        return Output(self.fc(images), None)

    def bind(self, size):
        return self


def official_name(name: str) -> str:
    layer, _, parameter = name.rpartition(".")
    return f"{NAMES[layer]}.{parameter}"


def official_momentum_name(name: str) -> str:
    """Of the teacher, whose head is the projector alone."""
    if name.startswith("head."):
        name = f"head.projector.{name.removeprefix('head.')}"
    return MOMENTUM + official_name(name).replace("backbone.", "0.").replace("neck.", "1.")


def official_model(start: dict) -> MoCoV3:
    model = MoCoV3(BACKBONE, HEAD, students="intact", freeze_patch_embed=False)
    model.student.backbone, model.teacher.backbone = OneLayer(), OneLayer()
    model.student.head = ContrastHead(12, 20, 8)
    model.student.head.predictor = BatchNormMLP((8, 16, 8))
    model.teacher.head = BatchNormMLP((12, 20, 20, 8))
    model.double().train()
    with torch.no_grad():
        for name, parameter in model.student.named_parameters():
            parameter.copy_(start[f"param0/{official_name(name)}"])
        for name, parameter in model.teacher.named_parameters():
            parameter.copy_(start[f"param0/{official_momentum_name(name)}"])
    return model


def test_five_steps_are_the_official_ones():
    """There the momentum encoder follows within a step, before the keys; here after the step before: the same."""
    found = numbers("mocov3")
    model = official_model(found)
    optimizer = torch.optim.SGD(model.student.parameters(), lr=0.5)
    for step in range(5):
        model.decide(teacher_momentum=max(0.0, 1 - found[f"iter{step}/weight_of_new_parameters"].item()))
        model.after_update()
        for name, parameter in model.teacher.named_parameters():
            expected = found[f"iter{step}/momentum_after/{official_momentum_name(name)}"]
            torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-8)
        views = torch.cat([found["view1"][step], found["view2"][step]])
        values = model.loss(Crops(views, torch.empty(0), torch.empty(0)), model.settings)
        assert values["loss"].item() == pytest.approx(found[f"iter{step}/loss"].item(), rel=1e-6)
        optimizer.zero_grad()
        values["loss"].backward()
        for name, parameter in model.student.named_parameters():
            expected = found[f"iter{step}/grad/{official_name(name)}"]
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-7)
        optimizer.step()
    for name, parameter in model.student.named_parameters():
        torch.testing.assert_close(parameter, found[f"param_final/{official_name(name)}"], rtol=1e-5, atol=1e-7)


def test_loss_is_that_of_the_original_repository():
    """The file's plain loss equals that of the authors' code; its gradient too."""
    found = numbers("mocov3")
    query = found["plain/query"].clone().requires_grad_()
    loss = contrast(query, found["plain/key"], 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(found["plain/loss"].item(), rel=1e-12)
    torch.testing.assert_close(query.grad, found["plain/grad_query"])


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)


def loss_of_a_share() -> torch.Tensor:
    mine = slice(3 * dist.get_rank(), 3 * dist.get_rank() + 3)
    query, key = (one[mine] for one in rows())
    return contrast(query, key, 0.2)


def test_queries_see_the_keys_of_all_processes(tmp_path):
    """The mean over two processes is the loss of one that has all pictures."""
    losses = in_two_processes(loss_of_a_share, tmp_path)
    assert sum(losses).item() / 2 == pytest.approx(contrast(*rows(), 0.2).item(), rel=1e-6)


def test_a_narrow_network_reads_the_first_columns():
    head = BatchNormMLP((8, 5, 3)).eval()
    features = torch.randn(4, 2)
    padded = torch.cat([4 * features, torch.zeros(4, 6)], dim=1)  # alpha = 8 / 2
    torch.testing.assert_close(head(features), head(padded))
    assert head[-1].weight is None and head[1].weight is not None
    assert head.macs(0.5) == 4 * 5 + 5 * 3


def test_every_student_learns_and_the_patch_embedding_stays():
    model = MoCoV3(BACKBONE, HEAD, lambda_intact=0.7).train()
    model.decide(sizes=(model.supernet.space.smallest,))
    values = model.loss(random_crops(), model.settings)
    expected = 0.7 * values["intact_contrast"] + 0.3 * values["elastic_contrast"]
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    values["loss"].backward()
    learning = {name for name, one in model.student.named_parameters() if one.requires_grad}
    assert {name for name, one in model.student.named_parameters() if one.grad is not None} == learning
    still = {name for name, _ in model.student.named_parameters()} - learning
    assert still == {
        f"backbone.{name}"
        for name in ("mask_token", "network.patch_embed.proj.weight", "network.patch_embed.proj.bias")
    }
    assert all(one.grad is None for one in model.teacher.parameters())


def test_settings_that_are_not_allowed_are_refused():
    with pytest.raises(InputError, match="lambda_intact is 1.0"):
        MoCoV3(BACKBONE, HEAD, lambda_intact=1.0)
    with pytest.raises(InputError, match="have no patch embedding"):
        space = {"family": "resnet", "widths": [16], "depths": [[1], [1]]}
        MoCoV3({"type": "poa_bench.Supernet", "space": space, "num_groups": 4, "channels": [16, 32, 64, 128]}, HEAD)
    model = MoCoV3(BACKBONE, HEAD, students="intact").train()
    with pytest.raises(InputError, match="at least 2 images per process"):
        model.loss(random_crops(images=1), SimpleNamespace(sizes=()))
